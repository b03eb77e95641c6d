#include "tests/fuzz/fuzz_input.h"

#include <string.h>

#include <algorithm>
#include <limits>
#include <string>
#include <type_traits>

namespace lisafs::fuzz {
namespace {

using namespace std::string_view_literals;

const std::string kLong(256, 'n');
const std::string_view kNames[] = {"f", "d", "g",      "e",      "l",         "b",         "p",   "s",
                                   "a", "",  ".",      "..",     "d/g",       "a\0b"sv,    kLong, "d2",
                                   "x", "y", "user.a", "user.b", "trusted.a", "security.a"};

}  // namespace

uint8_t FuzzInput::Byte() {
  if (data_.empty()) return 0;
  uint8_t byte = data_[0];
  data_ = data_.subspan(1);
  return byte;
}

std::string_view FuzzInput::Text(size_t n) {
  n = std::min(n, data_.size());
  std::string_view text(reinterpret_cast<const char*>(data_.data()), n);
  data_ = data_.subspan(n);
  return text;
}

template <std::integral T>
T FuzzInput::Number() {
  uint8_t choice = Byte();
  if (choice < 0xb0 && sizeof(T) == sizeof(Fdid)) return static_cast<T>(choice % (fds_issued_ + 2));
  if (choice < 0x70) return static_cast<T>(choice % 8);
  if (choice < 0xb0) return static_cast<T>(Byte() << 4);  // Flags, masks, budgets.
  if (choice < 0xd8) return static_cast<T>(choice);
  if (choice < 0xe8) return static_cast<T>(T{1} << (Byte() % (8 * sizeof(T) - 1)));
  if (choice < 0xf0) return static_cast<T>(Byte() | Byte() << 8);
  if (choice < 0xf4) return std::numeric_limits<T>::max();
  if (choice < 0xf8) return std::numeric_limits<T>::min();
  if (choice < 0xfc) return static_cast<T>(0x3fffffff - choice % 2);  // UTIME_NOW, UTIME_OMIT.
  T value = 0;
  std::string_view raw = Text(sizeof value);
  memcpy(&value, raw.data(), raw.size());
  return value;
}

void FuzzInput::Fill(std::string_view& value) {
  unsigned choice = Byte();
  value = choice < 0xe0 ? kNames[choice % std::size(kNames)] : Text(choice - 0xe0);
}

void FuzzInput::Fill(CreateCommon& value) {
  value.dir_fd = Number<Fdid>();
  uint8_t ids = Byte();
  value.uid = ids % 4 == 0 ? kNoId : ids;
  value.gid = ids % 8 < 4 ? kNoId : ids;
  value.mode = static_cast<uint16_t>(Byte() % 4 == 0 ? Byte() << 8 | Byte() : 0100644);
}

void FuzzInput::Fill(FdArray& value) {
  fds_.resize(Below(6));
  for (Fdid& fd : fds_) fd = Number<Fdid>();
  value = FdArray(fds_);
}

void FuzzInput::Fill(StringArray& value) {
  names_.resize(Below(6));
  for (std::string_view& name : names_) Fill(name);
  value = StringArray(names_);
}

void FuzzInput::Fill(Rest& value) {
  std::string_view text = Text(Byte());
  value.bytes = std::as_bytes(std::span(text));
}

template <typename Body>
Bytes FuzzInput::PayloadOf() {
  Bytes payload(1 << 14);
  if constexpr (std::is_same_v<Body, Empty>) {
    payload.clear();
  } else {
    Body body;
    std::apply([&](auto&... field) { (Fill(field), ...); }, body.Tie());
    Writer writer(payload);
    Encode(writer, body);
    payload.resize(writer.size());
  }
  switch (Byte()) {
    case 1:
      payload.resize(payload.size() * Byte() / 256);
      break;
    case 2:
      payload.resize(payload.size() + Byte());
      break;
    case 3:
      if (!payload.empty()) payload[Byte() % payload.size()] = static_cast<std::byte>(Byte());
      break;
  }
  return payload;
}

Bytes FuzzInput::Payload(Mid mid) {
  switch (mid) {
#define X(number, name, request, response, fds, purpose) \
  case Mid::k##name:                                     \
    return PayloadOf<request>();
    LISAFS_MESSAGES(X)
#undef X
  }
  return {};
}

}  // namespace lisafs::fuzz
