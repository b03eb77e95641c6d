#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/conformance/suite.h"

// Channels: their windows, the handshake, and what a client may do to a window. Each case wants a connection of its
// own, since windows and channels are not given back.

namespace lisafs::conformance {
namespace {

constexpr uint16_t kFStat = static_cast<uint16_t>(Mid::kFStat);

std::string Hex(std::span<const std::byte> bytes) {
  std::string text;
  for (std::byte byte : bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    text += kDigits[std::to_integer<int>(byte) >> 4];
    text += kDigits[std::to_integer<int>(byte) & 15];
  }
  return text;
}

std::string EndName(Answer::End end) { return end == Answer::End::kAnswered ? "ok" : Answer{.end = end}.ToString(); }

std::unique_ptr<RawChannel> Connected(Test& t) {
  auto channel = t.peer().MakeChannel(t.peer().socket());
  bool up = channel != nullptr && channel->Handshake() == Answer::End::kAnswered;
  return t.Need("a channel", up) ? std::move(channel) : nullptr;
}

// What became of the channel after something that the protocol does not have: whatever it is, the client learns no
// more than that, and the rest of the connection goes on.
std::string Ended(RawChannel& channel) {
  for (int i = 0; i < 50; ++i) {
    if (channel.Word(0) == RawChannel::kShutDown) return "shut down";
    if (channel.Word(0) == RawChannel::kClientActive) return "answered";
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return "no answer";
}

void Window(Test& t) {
  const uint64_t page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  Answer answer;
  auto channel = t.peer().MakeChannel(t.peer().socket(), &answer);
  ChannelResp first;
  if (!t.Need("a channel", channel != nullptr && Decode(answer.payload, first))) return;
  t.Row("it starts at a page", "0", static_cast<uint64_t>(first.data_offset) % page);
  t.Row("it is of whole pages", "0", first.data_length % page);
  t.Row("the largest message fits in", "1", first.data_length >= 20 + uint64_t{t.peer().max_message()});
  t.Row("its length is of 32 bits", "1", first.data_length <= UINT32_MAX);
  struct stat file;
  t.Row("the file is long enough", "1",
        fstat(channel->memory(), &file) == 0 &&
            static_cast<uint64_t>(file.st_size) >= static_cast<uint64_t>(first.data_offset) + first.data_length);
  t.Row("its seals", Text(F_SEAL_SHRINK | F_SEAL_SEAL), fcntl(channel->memory(), F_GET_SEALS));
  t.Row("it cannot be cut", "-1", ftruncate(channel->memory(), 0));
  int type = 0;
  socklen_t size = sizeof type;
  getsockopt(channel->descriptors(), SOL_SOCKET, SO_TYPE, &type, &size);
  t.Row("the descriptors' socket is of packets", "1", type == SOCK_SEQPACKET);
  t.Row("and does not wait", "1", (fcntl(channel->descriptors(), F_GETFL) & O_NONBLOCK) != 0);
  t.Row("the window is new", std::string(40, '0'), Hex(channel->window().first(20)));
  t.Row("the handshake", "ok", EndName(channel->Handshake()));
  t.Row("the window after it", "000000000300000000000000000000007b7d0a", Hex(channel->window().first(19)));

  auto second = t.peer().MakeChannel(t.peer().socket(), &answer);
  ChannelResp response;
  if (!t.Need("a second channel", second != nullptr && Decode(answer.payload, response))) return;
  struct stat second_file;
  t.Row("another window of the same file", "1",
        fstat(second->memory(), &second_file) == 0 && second_file.st_ino == file.st_ino &&
            (response.data_offset >= first.data_offset + static_cast<int64_t>(first.data_length) ||
             first.data_offset >= response.data_offset + static_cast<int64_t>(response.data_length)));
}

// The bytes of the protocol's description.
void Golden(Test& t) {
  auto channel = Connected(t);
  if (channel == nullptr) return;
  channel->Write(kFStat, 0, Encoded(FdReq{t.dir()}));
  channel->Flip(12);
  t.Row("answered", "ok", EndName(channel->WaitForTurn()));
  t.Row("header",
        "000000009400000000000000000000000300"
        "0000",
        Hex(channel->window().first(20)));
  t.Row("an error", "EBADF", channel->Exchange(kFStat, Encoded(FdReq{9999})));
  t.Row("its header",
        "0000000008000000000000000000000000000000"
        "09000000",
        Hex(channel->window().first(24)));
}

void Limit(Test& t) {
  std::vector<std::unique_ptr<RawChannel>> channels;
  Answer answer;
  while (channels.size() < 100) {
    auto channel = t.peer().MakeChannel(t.peer().socket(), &answer);
    if (channel == nullptr) break;
    channels.push_back(std::move(channel));
  }
  t.Row("more than there are", "ENOMEM", answer);
  t.Row("at least two", "1", channels.size() >= 2);
  t.Row("the next request", "ok", t.Stat(t.dir()));
}

void MadeOverChannel(Test& t) {
  auto first = Connected(t);
  if (first == nullptr) return;
  auto second = t.peer().MakeChannel(*first);
  if (!t.Need("a channel over a channel", second != nullptr)) return;
  t.Row("its handshake", "ok", EndName(second->Handshake()));
  t.Row("a request over it", "ok", second->Exchange(kFStat, Encoded(FdReq{t.dir()})));
  t.Row("and over the first", "ok", first->Exchange(kFStat, Encoded(FdReq{t.dir()})));
}

void GoodHandshake(Test& t) {
  auto channel = t.peer().MakeChannel(t.peer().socket());
  if (!t.Need("a channel", channel != nullptr)) return;
  t.Row("without the newline", "ok", EndName(channel->Handshake("{}")));
  t.Row("a request", "ok", channel->Exchange(kFStat, Encoded(FdReq{t.dir()})));
}

// `handshake` does what the protocol does not have with a new channel.
template <typename F>
void BadHandshake(Test& t, F&& handshake) {
  auto channel = t.peer().MakeChannel(t.peer().socket());
  if (!t.Need("a channel", channel != nullptr)) return;
  handshake(*channel);
  t.Row("the channel", "shut down|no answer", Ended(*channel));
  t.Row("the socket", "ok", t.peer().socket().Exchange(kFStat, Encoded(FdReq{t.dir()})));
}

void HandshakeOfWords(Test& t) {
  BadHandshake(t, [](RawChannel& channel) {
    memcpy(channel.window().data() + 16, "hello", 5);
    channel.Flip(5);
  });
}
void HandshakeOfNothing(Test& t) {
  BadHandshake(t, [](RawChannel& channel) { channel.Flip(0); });
}
void HandshakeTooLong(Test& t) {
  BadHandshake(t, [](RawChannel& channel) { channel.Flip(UINT32_MAX); });
}

template <typename F>
void Violation(Test& t, F&& violate) {
  auto channel = Connected(t);
  if (channel == nullptr) return;
  violate(*channel);
  t.Row("the channel", "shut down|no answer", Ended(*channel));
  t.Row("the socket", "ok", t.peer().socket().Exchange(kFStat, Encoded(FdReq{t.dir()})));
}

void NoPacket(Test& t) {
  Violation(t, [](RawChannel& channel) { channel.Flip(0); });
}
void ShortPacket(Test& t) {
  Violation(t, [](RawChannel& channel) { channel.Flip(3); });
}
void LongPacket(Test& t) {
  Violation(t, [](RawChannel& channel) { channel.Flip(static_cast<uint32_t>(channel.window().size() - 15)); });
}
void LongestPacket(Test& t) {
  Violation(t, [](RawChannel& channel) { channel.Flip(UINT32_MAX); });
}
void BadState(Test& t) {
  Violation(t, [](RawChannel& channel) {
    channel.SetWord(0, 7);
    channel.Wake();
  });
}
void ShutDownByClient(Test& t) {
  Violation(t, [](RawChannel& channel) {
    channel.SetWord(0, RawChannel::kShutDown);
    channel.Wake();
  });
}

// The window has room for more than the largest message.
void LongerThanAllowed(Test& t) {
  auto channel = Connected(t);
  if (channel == nullptr) return;
  Bytes payload = Encoded(FdReq{t.dir()});
  payload.resize(channel->window().size() - 20);
  std::string wanted = payload.size() > t.peer().max_message() ? "EIO" : "ok";
  t.Row("all that the window holds", wanted, channel->Exchange(kFStat, payload));
  t.Row("the next request", "ok", channel->Exchange(kFStat, Encoded(FdReq{t.dir()})));
}

// Requests carry no descriptors, whatever their header says.
void DescriptorsInRequest(Test& t) {
  auto channel = Connected(t);
  if (channel == nullptr) return;
  int ends[2];
  if (!t.Need("a pipe", pipe2(ends, O_CLOEXEC) == 0)) return;
  Fd reading(ends[0]), writing(ends[1]);
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  int fd = writing.get();
  memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  bool sent = sendmsg(channel->descriptors(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
  t.Row("sending a descriptor", "ok|EPIPE", sent ? "ok" : ErrnoName(errno));

  channel->Write(kFStat, 1, Encoded(FdReq{t.dir()}));
  channel->Flip(12);
  if (!t.Need("an answer", channel->WaitForTurn() == Answer::End::kAnswered)) return;
  Answer answer = channel->Collect();
  t.Row("the request", "ok", answer);
  t.Row("nothing comes back", "0", answer.donated.size());
}

void Padding(Test& t) {
  auto channel = Connected(t);
  if (channel == nullptr) return;
  channel->Write(kFStat, 0, Encoded(FdReq{t.dir()}));
  channel->window()[19] = std::byte{0xff};
  channel->Flip(12);
  t.Row("with a byte in the padding", "ok", EndName(channel->WaitForTurn()));
}

// A client may grow the file and punch holes into it: that is harmless.
void FileChanges(Test& t) {
  auto channel = Connected(t);
  if (channel == nullptr) return;
  t.Row("growing it", "0", ftruncate(channel->memory(), 1 << 28));
  t.Row("a request then", "ok", channel->Exchange(kFStat, Encoded(FdReq{t.dir()})));
  int punched = fallocate(channel->memory(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1 << 21);
  t.Row("emptying it", "0", punched);
  t.Row("the request after that", "ok", channel->Exchange(kFStat, Encoded(FdReq{t.dir()})));
}

void HangUp(Test& t) {
  auto channel = Connected(t);
  if (channel == nullptr) return;
  t.Row("a request", "ok", channel->Exchange(kFStat, Encoded(FdReq{t.dir()})));
  t.peer().socket().Close();
  std::string ended;
  for (int i = 0; i < 1000 && ended != "shut down"; ++i) {
    ended = channel->Word(0) == RawChannel::kShutDown ? "shut down" : "up";
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  t.Row("after the socket has gone", "shut down", ended);
}

// All lanes at once, with requests that need the same locks.
void AllLanes(Test& t) {
  if (!t.MakeDirectory("d") || !t.MakeFile("d/f", "content")) return;
  std::vector<std::unique_ptr<RawChannel>> channels;
  while (auto channel = t.peer().MakeChannel(t.peer().socket())) {
    if (channel->Handshake() != Answer::End::kAnswered) break;
    channels.push_back(std::move(channel));
  }
  if (!t.Need("channels", !channels.empty())) return;
  std::atomic<int> right = 0;
  auto work = [&](Lane& lane) {
    std::string_view names[] = {"d", "f"};
    Bytes walk = Encoded(WalkReq{t.dir(), StringArray(names)});
    for (int i = 0; i < 500; ++i) {
      Answer walked = lane.Exchange(static_cast<uint16_t>(Mid::kWalk), walk);
      WalkResp inodes;
      if (!walked.ok() || !Decode(walked.payload, inodes) || inodes.inodes.size() != 2) return;
      Fdid fds[] = {inodes.inodes[0].control_fd, inodes.inodes[1].control_fd};
      if (!lane.Exchange(kFStat, Encoded(FdReq{fds[1]})).ok()) return;
      if (!lane.Exchange(static_cast<uint16_t>(Mid::kClose), Encoded(FdsReq{FdArray(fds)})).ok()) return;
    }
    ++right;
  };
  std::vector<std::thread> threads;
  for (auto& channel : channels) threads.emplace_back([&] { work(*channel); });
  work(t.peer().socket());
  for (std::thread& thread : threads) thread.join();
  t.Row("every lane got its answers", Text(channels.size() + 1), right.load());
}

// Ours alone: message 256. Word 8 is the client's: bit 0 means that it sleeps, or says so.
void SleepFlags(Test& t) {
  constexpr uint16_t kMid = static_cast<uint16_t>(Mid::kSleepFlags);
  auto channel = Connected(t);
  if (channel == nullptr) return;
  auto stat = [&] { return channel->Exchange(kFStat, Encoded(FdReq{t.dir()})); };
  t.Row("on the socket", "ok", t.peer().socket().Exchange(kMid, {}));
  t.Row("on a channel", "ok", channel->Exchange(kMid, {}));
  channel->SetWord(8, 1);
  t.Row("a request of one who says that it sleeps", "ok", stat());
  channel->SetWord(8, UINT32_MAX);
  t.Row("of one who says it with all bits", "ok", stat());
  for (uint32_t cpu : {0, 1, 1'000'000}) {
    channel->SetWord(8, (cpu + 1) << 1 | 1);
    t.Row("of one who says that it is on CPU " + Text(cpu), "ok", stat());
  }
  t.Row("on a channel again", "ok", channel->Exchange(kMid, {}));
  t.Row("on a channel with bytes that it does not have", "ok", channel->Exchange(kMid, Bytes(100)));
}

}  // namespace

void AddChannelCases(std::vector<Case>& cases) {
  auto add = [&](const char* name, Case::Function run) {
    cases.push_back({.name = name, .run = run, .over = Case::Over::kSocket, .own_connection = true});
  };
  add("Channel.Window", Window);
  add("Channel.Golden", Golden);
  add("Channel.Limit", Limit);
  add("Channel.MadeOverChannel", MadeOverChannel);
  add("Channel.GoodHandshake", GoodHandshake);
  add("Channel.HandshakeOfWords", HandshakeOfWords);
  add("Channel.HandshakeOfNothing", HandshakeOfNothing);
  add("Channel.HandshakeTooLong", HandshakeTooLong);
  add("Channel.NoPacket", NoPacket);
  add("Channel.ShortPacket", ShortPacket);
  add("Channel.LongPacket", LongPacket);
  add("Channel.LongestPacket", LongestPacket);
  add("Channel.BadState", BadState);
  add("Channel.ShutDownByClient", ShutDownByClient);
  add("Channel.LongerThanAllowed", LongerThanAllowed);
  add("Channel.DescriptorsInRequest", DescriptorsInRequest);
  add("Channel.Padding", Padding);
  add("Channel.FileChanges", FileChanges);
  add("Channel.HangUp", HangUp);
  add("Channel.AllLanes", AllLanes);
  cases.push_back({.name = "Channel.SleepFlags",
                   .run = SleepFlags,
                   .over = Case::Over::kSocket,
                   .own_connection = true,
                   .needs = Mid::kSleepFlags});
}

}  // namespace lisafs::conformance
