// Feeds every decoder: nothing outside the payload is read, and what was decoded encodes to something that decodes to
// the same.

#include <stdlib.h>
#include <string.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

#include "lisafs/messages.h"

namespace lisafs {
namespace {

void Check(bool holds) {
  if (!holds) abort();
}

template <typename Body>
std::vector<std::byte> Encoded(const Body& body, size_t room) {
  std::vector<std::byte> buffer(room);
  Writer writer(buffer);
  Encode(writer, body);
  Check(writer.ok());
  buffer.resize(writer.size());
  return buffer;
}

// Encoding reads every view to its end.
template <typename Body>
void TryBody(std::span<const std::byte> payload) {
  if constexpr (!std::is_same_v<Body, Empty>) {
    Body body;
    if (!Decode(payload, body)) return;
    // It takes no more room than it came in.
    std::vector<std::byte> once = Encoded(body, payload.size());
    Body again;
    Check(Decode(std::span<const std::byte>(once), again));
    Check(Encoded(again, once.size()) == once);
  }
}

void TryDirents(std::span<const std::byte> payload) {
  Getdents64Resp response;
  if (!Decode(payload, response)) return;
  Reader reader(response.dirents.bytes);
  size_t names = 0;
  for (uint16_t i = 0; i < response.count && reader.ok(); ++i) {
    Dirent dirent;
    std::apply([&](auto&... field) { (reader.Read(field), ...); }, dirent.Tie());
    if (reader.ok()) names += dirent.name.size();
  }
  Check(names <= payload.size());
}

void Try(size_t index, std::span<const std::byte> payload) {
  switch (kAllMids[index]) {
#define X(number, name, request, response, fds, purpose) \
  case Mid::k##name:                                     \
    TryBody<request>(payload);                           \
    TryBody<response>(payload);                          \
    break;
    LISAFS_MESSAGES(X)
#undef X
  }
  if (kAllMids[index] == Mid::kGetdents64) TryDirents(payload);
}

}  // namespace
}  // namespace lisafs

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  // On the heap and no byte longer, so that a read past it is noticed.
  auto payload = std::make_unique<std::byte[]>(size - 1);
  memcpy(payload.get(), data + 1, size - 1);
  lisafs::Try(data[0] % lisafs::kMessageCount, {payload.get(), size - 1});
  return 0;
}
