#include "plugin/fuse_ring.h"

#include <errno.h>
#include <sys/mman.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>

namespace lisafs {
namespace {

constexpr uint32_t kRegister = 1;
constexpr uint32_t kCommitAndFetch = 2;

// What follows a command: struct fuse_uring_cmd_req.
struct CommandArea {
  uint64_t flags = 0;
  uint64_t commit_id = 0;
  uint16_t queue = 0;
  uint8_t padding[6] = {};
};
static_assert(sizeof(CommandArea) == 24);

// A place: a page for the headers, a page whose end a request's fixed part is put to, so that it stands right before
// what follows it, and the payload.
constexpr size_t kPage = 4096;
constexpr size_t kPayloadOffset = 2 * kPage;
// The largest transfer, and a page for what goes with it.
constexpr size_t kPayloadSize = kMaxTransfer + kPage;
constexpr size_t kPlaceSize = kPayloadOffset + kPayloadSize;

// Not touched before it is used, so that most of it takes no memory.
Result<std::byte*> Allocate(size_t size) {
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return FailWithErrno();
  return static_cast<std::byte*>(memory);
}

// Requests of one CPU at once, if all are held up: some for each, and not few where there are few CPUs.
size_t RingsOfQueue(size_t cpus) { return std::max<size_t>(2, 8 / cpus); }

// CPUs as /sys/devices/system/cpu lists them: "0-3,8\n".
std::vector<int> ParseCpus(const std::string& path) {
  std::ifstream file(path);
  std::vector<int> cpus;
  for (std::string range; std::getline(file, range, ',');) {
    const char* end = range.data() + range.size();
    int first = 0;
    auto [rest, error] = std::from_chars(range.data(), end, first);
    if (error != std::errc()) return {};
    int last = first;
    if (rest != end && *rest == '-' && std::from_chars(rest + 1, end, last).ec != std::errc()) return {};
    for (int cpu = first; cpu <= last && cpu <= UINT16_MAX; ++cpu) cpus.push_back(cpu);
  }
  return cpus;
}

bool IsSwitchedOn() {
  std::ifstream file("/sys/module/fuse/parameters/enable_uring");
  return file.get() == 'Y';
}

}  // namespace

Result<std::unique_ptr<FuseRing>> FuseRing::Make(int device, const std::vector<uint16_t>& queues) {
  std::unique_ptr<FuseRing> ring(new FuseRing);
  LISAFS_ASSIGN_OR_RETURN(ring->ring_, IoRing::Make(device, static_cast<unsigned>(queues.size())));
  LISAFS_ASSIGN_OR_RETURN(ring->answer_, Allocate(kPayloadSize));
  for (uint16_t queue : queues) {
    Place& place = ring->places_.emplace_back(queue);
    LISAFS_ASSIGN_OR_RETURN(place.memory, Allocate(kPlaceSize));
    place.parts[0] = {place.memory, sizeof(FuseRingHeaders)};
    place.parts[1] = {place.memory + kPayloadOffset, kPayloadSize};
  }
  return ring;
}

FuseRing::~FuseRing() {
  // The kernel lets go of the places first.
  ring_.reset();
  for (const Place& place : places_) {
    if (place.memory != nullptr) munmap(place.memory, kPlaceSize);
  }
  if (answer_ != nullptr) munmap(answer_, kPayloadSize);
}

void FuseRing::Queue(uint32_t operation, size_t index) {
  IoRing::Command command = {.operation = operation, .user_data = index};
  const CommandArea area = {.commit_id = commit_id_, .queue = places_[index].queue};
  memcpy(command.area.data(), &area, sizeof area);
  if (operation == kRegister) {
    command.buffer = places_[index].parts;
    command.length = std::size(places_[index].parts);
  }
  ring_->Queue(command);
}

Result<std::span<const std::byte>> FuseRing::Receive(std::span<std::byte>& reply_room) {
  if (!offered_) {
    for (size_t i = 0; i < places_.size(); ++i) Queue(kRegister, i);
    offered_ = true;
  }
  LISAFS_ASSIGN_OR_RETURN(IoRing::Completion completion, ring_->Await());
  if (completion.result == -ENOTCONN) return Fail(ENODEV);
  if (completion.result < 0) return Fail(-completion.result);
  current_ = completion.user_data;
  const FuseRingHeaders& headers = places_[current_].headers();
  commit_id_ = headers.entry.commit_id;

  // The parts of a request that came apart: the header, arguments of a fixed size, and the payload.
  std::byte* payload = places_[current_].memory + kPayloadOffset;
  fuse_in_header in;
  memcpy(&in, headers.in_out, sizeof in);
  const size_t payload_size = headers.entry.payload_size;
  const size_t fixed_size = in.len - sizeof in - payload_size;
  if (payload_size > kPayloadSize || in.len < sizeof in + payload_size || fixed_size > sizeof headers.fixed) {
    return Fail(EPROTO);
  }
  // An answer may take the place of the payload if there is none; it then begins where a request with one would.
  const bool in_place = payload_size == 0;
  std::byte* request = payload - (in_place ? kPage : sizeof in + fixed_size);
  memcpy(request, headers.in_out, sizeof in);
  memcpy(request + sizeof in, headers.fixed, fixed_size);
  reply_room = in_place ? std::span(payload - sizeof(fuse_out_header), kPayloadSize) : std::span(answer_, kPayloadSize);
  return std::span<const std::byte>(request, in.len);
}

Status FuseRing::Send(std::span<const std::byte> reply) {
  FuseRingHeaders& headers = places_[current_].headers();
  std::byte* payload = places_[current_].memory + kPayloadOffset;
  memcpy(headers.in_out, reply.data(), sizeof(fuse_out_header));
  reply = reply.subspan(sizeof(fuse_out_header));
  if (reply.data() != payload) memcpy(payload, reply.data(), reply.size());
  headers.entry.payload_size = static_cast<uint32_t>(reply.size());
  Queue(kCommitAndFetch, current_);
  return {};
}

size_t FuseRingsOfMount() {
  const size_t online = ParseCpus("/sys/devices/system/cpu/online").size();
  return online * RingsOfQueue(std::max<size_t>(online, 1)) + 1;
}

Result<std::vector<FuseQueue>> MakeFuseQueues(int device) {
  const std::vector<int> possible = ParseCpus("/sys/devices/system/cpu/possible");
  const std::vector<int> online = ParseCpus("/sys/devices/system/cpu/online");
  if (!IsSwitchedOn() || possible.empty() || online.empty()) return Fail(ENOENT);
  std::vector<FuseQueue> queues;
  for (int cpu : online) {
    FuseQueue& queue = queues.emplace_back(FuseQueue{.cpu = cpu, .rings = {}});
    for (size_t i = 0; i < RingsOfQueue(online.size()); ++i) {
      LISAFS_ASSIGN_OR_RETURN(auto ring, FuseRing::Make(device, {static_cast<uint16_t>(cpu)}));
      queue.rings.push_back(std::move(ring));
    }
  }
  // The kernel waits until each queue has a place.
  std::vector<uint16_t> others;
  for (int cpu : possible) {
    if (std::find(online.begin(), online.end(), cpu) == online.end()) others.push_back(static_cast<uint16_t>(cpu));
  }
  if (!others.empty()) {
    LISAFS_ASSIGN_OR_RETURN(auto ring, FuseRing::Make(device, others));
    queues.emplace_back().rings.push_back(std::move(ring));
  }
  return queues;
}

}  // namespace lisafs
