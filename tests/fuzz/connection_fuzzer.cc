// A whole connection: sequences of requests on the socket and on channels, against the gofer's handlers in this
// process, with another process's changes in between. Whatever comes: no memory error, every request is answered, and
// when the client is gone no descriptor and no node is left.

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <memory>
#include <thread>
#include <vector>

#include "gofer/file.h"
#include "gofer/handlers.h"
#include "gofer/self_fds.h"
#include "lisafs/connection.h"
#include "lisafs/counters.h"
#include "lisafs/server.h"
#include "tests/conformance/lane.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/scratch_tree.h"

namespace lisafs::fuzz {
namespace {

using conformance::Answer;
using conformance::RawChannel;
using conformance::RawSocket;

constexpr uint32_t kMaxMessage = 1 << 16;
constexpr int kCannotRun = 77;  // For run_fuzzer.sh.

void Check(bool holds, const char* what) {
  if (holds) return;
  fprintf(stderr, "connection_fuzzer: %s\n", what);
  abort();
}

// What lives as long as the process.
struct World {
  ScratchTree tree;
  SelfFds self;
  Server server;
  MountCounters counters;
};
World* world;

size_t OpenDescriptors() {
  auto fds = std::filesystem::directory_iterator("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(fds), end(fds)));
}

class Client {
 public:
  explicit Client(Fd socket) : socket_(std::move(socket)) {}

  // If it is to mount first, some of each kind of FD are there when the input begins.
  void Run(FuzzInput& input, bool mount) {
    if (mount) Prepare();
    while (!input.empty() && !gone_) {
      input.set_fds_issued(last_fd_);
      switch (unsigned choice = input.Below(32); choice) {
        case 0:
          Violate(input);
          break;
        case 1:
          world->tree.ChangeFromHost(input.Byte());
          break;
        case 2:
          Pipeline(input);
          break;
        case 3:
          Expect(
              socket_.Exchange(input.Byte() | input.Byte() << 8, std::as_bytes(std::span(input.Text(input.Byte())))));
          break;
        case 4:
          HalfAMessage(input);
          break;
        default: {
          Mid mid = kAllMids[input.Below(kMessageCount)];
          Bytes payload = input.Payload(mid);
          RawChannel* channel = choice < 20 ? nullptr : Channel(choice % 2);
          if (channel == nullptr) {
            Expect(socket_.Exchange(static_cast<uint16_t>(mid), payload));
          } else if (payload.size() <= channel->window().size() - RawChannel::kPayloadOffset) {
            // Should this be SleepFlags: here is a client that always sleeps.
            channel->SetWord(8, 1);
            Expect(channel->Exchange(static_cast<uint16_t>(mid), payload));
          }
        }
      }
    }
  }

 private:
  void Expect(const Answer& answer) {
    Check(answer.end == Answer::End::kAnswered, answer.ToString().c_str());
    if (!answer.ok()) return;
    switch (static_cast<Mid>(answer.mid)) {
      case Mid::kWalk: {
        WalkResp response;
        if (!Decode(answer.payload, response)) return;
        for (size_t i = 0; i < response.inodes.size(); ++i)
          last_fd_ = std::max(last_fd_, response.inodes[i].control_fd);
        break;
      }
      case Mid::kOpenAt:
      case Mid::kMount:
      case Mid::kMkdirAt:
      case Mid::kMknodAt:
      case Mid::kSymlinkAt:
      case Mid::kLinkAt:
      case Mid::kMakeNodeAt: {
        FdReq first;  // All of these begin with the new FDID.
        if (Decode(answer.payload, first)) last_fd_ = std::max(last_fd_, first.fd);
        break;
      }
      // And these with the new file and its open FD or bound socket.
      case Mid::kBindAt:
      case Mid::kOpenUnnamed:
      case Mid::kOpenCreateAt: {
        OpenCreateAtResp response;
        if (Decode(answer.payload, response)) last_fd_ = std::max(last_fd_, response.open_fd);
        break;
      }
      default:
        break;
    }
  }

  template <Mid kMid>
  void Ask(const typename Message<kMid>::Request& request) {
    Bytes payload(1024);
    Writer writer(payload);
    Encode(writer, request);
    Expect(socket_.Exchange(static_cast<uint16_t>(kMid), std::span(payload).first(writer.size())));
  }

  // FDIDs 1 to 9: the root, d, d/g, f, l, p, s, and open FDs of f and d, as far as the connection's options admit.
  void Prepare() {
    Ask<Mid::kMount>({});
    std::string_view inner[] = {"d", "g"};
    Ask<Mid::kWalk>({.dir_fd = 1, .path = StringArray(inner)});
    for (std::string_view name : {"f", "l", "p", "s"}) Ask<Mid::kWalk>({.dir_fd = 1, .path = StringArray({&name, 1})});
    Ask<Mid::kOpenAt>({.fd = 4, .flags = O_RDWR});
    Ask<Mid::kOpenAt>({.fd = 2, .flags = O_RDONLY});
  }

  RawChannel* Channel(size_t index) {
    if (tried_[index]) return channels_[index].get();
    tried_[index] = true;
    Answer made = socket_.Exchange(static_cast<uint16_t>(Mid::kChannel), {});
    ChannelResp response;
    // The input may have made them all itself.
    if (!made.ok() || !Decode(made.payload, response) || made.donated.size() != 2) return nullptr;
    auto channel = std::make_unique<RawChannel>(response, std::move(made.donated[0]), std::move(made.donated[1]));
    Check(channel->valid(), "a window that cannot be mapped");
    Check(channel->Handshake() == Answer::End::kAnswered, "no answer to a handshake");
    channels_[index] = std::move(channel);
    return channels_[index].get();
  }

  // Something that the protocol does not have, after which the channel is not used any more.
  void Violate(FuzzInput& input) {
    unsigned index = input.Below(2);
    RawChannel* channel = Channel(index);
    if (channel == nullptr) return;
    for (unsigned i = 0; i < 1 + input.Below(8); ++i) {
      size_t word = input.Below(16);
      uint32_t value = input.Below(4) == 0 ? ~0u - input.Byte() : input.Byte();
      channel->SetWord(4 * word, value);
      channel->Wake();
    }
    retired_.push_back(std::move(channels_[index]));
  }

  // Several requests before the first answer.
  void Pipeline(FuzzInput& input) {
    Bytes all;
    unsigned count = 1 + input.Below(8);
    for (unsigned i = 0; i < count; ++i) {
      Mid mid = kAllMids[input.Below(kMessageCount)];
      Bytes frame = RawSocket::Frame(static_cast<uint16_t>(mid), input.Payload(mid));
      all.insert(all.end(), frame.begin(), frame.end());
    }
    Check(socket_.Send(all), "the server does not read");
    for (unsigned i = 0; i < count; ++i) Expect(socket_.Receive());
  }

  // And then nothing more.
  void HalfAMessage(FuzzInput& input) {
    Bytes header = RawSocket::FrameHeader(input.Byte(), input.Byte() << 24 | input.Byte() << 8 | 200);
    header.resize(header.size() + input.Below(200));
    socket_.Send(header);
    gone_ = true;
  }

  RawSocket socket_;
  Fdid last_fd_ = 0;
  std::unique_ptr<RawChannel> channels_[2];
  bool tried_[2] = {};
  std::vector<std::unique_ptr<RawChannel>> retired_;  // Their windows stay mapped: the server may still write to them.
  bool gone_ = false;
};

void RunOnce(FuzzInput input) {
  world->tree.Refill();
  const size_t fds = OpenDescriptors();
  {
    const unsigned options = input.Byte();
    const bool open = options % 2 == 0;
    HostMount mount(world->server, world->self, world->tree.Root(),
                    {.open_sockets = open, .create_sockets = open, .open_fifos = open});
    int ends[2];
    Check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
    Connection connection(world->server, mount, Fd(ends[0]),
                          {.read_only = options % 8 == 7,
                           .donate_regular_files = options % 16 != 8,
                           .max_channels = 3,
                           .counters = &world->counters,
                           .max_fds = options % 32 == 5 ? 8 : 200,
                           .max_message = kMaxMessage});
    std::thread serving([&] { connection.Serve(); });
    {
      Client client{Fd(ends[1])};
      client.Run(input, /*mount=*/options % 64 != 9);
    }
    serving.join();
    Check(world->counters.summary.control_fds == 0 && world->counters.summary.open_fds == 0, "FDs are still counted");
    Check(world->counters.summary.channels == 0, "channels are still counted");
    Check(world->server.tree.size() == 1, "nodes are left");
  }
  Check(world->server.tree.size() == 0, "the root is left");
  Check(OpenDescriptors() == fds, "descriptors are left");
}

}  // namespace
}  // namespace lisafs::fuzz

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  using namespace lisafs;
  signal(SIGPIPE, SIG_IGN);
  rlimit limit{1 << 20, 1 << 20};
  setrlimit(RLIMIT_FSIZE, &limit);
  umask(0);
  auto tree = fuzz::ScratchTree::Make();
  if (!tree) {
    fprintf(stderr, "connection_fuzzer: cannot make a file system in memory (as root?): %s\n",
            tree.error().ToString().c_str());
    _exit(fuzz::kCannotRun);
  }
  auto self = SelfFds::Make(Fd(open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC)));
  if (!self) exit(1);
  fuzz::world = new fuzz::World{std::move(*tree), std::move(*self), {}, {}};
  ServeHostFiles(fuzz::world->server.handlers);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 4096) return -1;
  // A file of 2^62 bytes is no finding. libFuzzer has set this otherwise since LLVMFuzzerInitialize.
  static const auto was = signal(SIGXFSZ, SIG_IGN);
  static_cast<void>(was);
  lisafs::fuzz::RunOnce(lisafs::fuzz::FuzzInput({data, size}));
  return 0;
}
