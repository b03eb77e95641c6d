#ifndef LISAFS_LISAFS_WIRE_H_
#define LISAFS_LISAFS_WIRE_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <bit>
#include <concepts>
#include <span>
#include <string_view>
#include <tuple>
#include <type_traits>

// How values lie in a payload. Fields follow each other without alignment or padding of their own: what padding there
// is belongs to a message and is declared there. Both peers are on one machine; like gVisor, this code supports
// little-endian machines only.
//
// Nothing here allocates. Decoded strings and arrays are views into the payload, so a payload in shared memory must be
// copied first: whoever may write to it could otherwise change what has been checked.

namespace lisafs {

static_assert(std::endian::native == std::endian::little);

// N bytes sent as zero and ignored on receipt.
template <size_t N>
struct Pad {};

// Types whose memory image is their encoding: integers, and structs that say so with `using WireImage = void`.
template <typename T>
concept WireScalar = std::integral<T> || std::is_enum_v<T> || requires {
  typename T::WireImage;
};

// An array of scalars: u16 count, then the elements. Decoded, it is a view of unaligned elements; to encode one, make
// it from a span that outlives it.
template <WireScalar T>
class PackedArray {
 public:
  static constexpr size_t kMaxCount = UINT16_MAX;

  PackedArray() = default;
  // The first kMaxCount elements count; a caller that may have more checks first.
  explicit PackedArray(std::span<const T> items)
      : data_(reinterpret_cast<const std::byte*>(items.data())),
        count_(static_cast<uint16_t>(items.size() < kMaxCount ? items.size() : kMaxCount)) {}
  PackedArray(const std::byte* data, uint16_t count) : data_(data), count_(count) {}

  uint16_t size() const { return count_; }
  bool empty() const { return count_ == 0; }
  T operator[](size_t i) const {
    T value;
    memcpy(&value, data_ + i * sizeof(T), sizeof(T));
    return value;
  }
  std::span<const std::byte> bytes() const { return {data_, count_ * sizeof(T)}; }

 private:
  const std::byte* data_ = nullptr;
  uint16_t count_ = 0;
};

// An array of strings: u16 count, then count times a u16 length and the bytes. Decoded, it is a view whose every length
// has been checked; to encode one, make it from a span that outlives it.
class StringArray {
 public:
  static constexpr size_t kMaxCount = UINT16_MAX;

  class Iterator {
   public:
    Iterator(const std::byte* encoded, const std::string_view* item, uint16_t left)
        : encoded_(encoded), item_(item), left_(left) {}
    std::string_view operator*() const;
    Iterator& operator++();
    bool operator==(const Iterator& other) const { return left_ == other.left_; }

   private:
    const std::byte* encoded_;      // Set in a decoded array,
    const std::string_view* item_;  // and this in one to be encoded.
    uint16_t left_;
  };

  StringArray() = default;
  explicit StringArray(std::span<const std::string_view> items)
      : items_(items.data()), count_(static_cast<uint16_t>(items.size() < kMaxCount ? items.size() : kMaxCount)) {}
  StringArray(const std::byte* encoded, uint16_t count) : encoded_(encoded), count_(count) {}

  uint16_t size() const { return count_; }
  bool empty() const { return count_ == 0; }
  Iterator begin() const { return {encoded_, items_, count_}; }
  Iterator end() const { return {encoded_, items_, 0}; }

 private:
  const std::byte* encoded_ = nullptr;
  const std::string_view* items_ = nullptr;
  uint16_t count_ = 0;
};

// Everything that is left of the payload: bulk data, which a message carries only at its end.
struct Rest {
  std::span<const std::byte> bytes;
};

// Reads fields one after another. The first one that runs past the payload makes ok() false for good; what was read
// then must not be used.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> payload) : left_(payload) {}

  bool ok() const { return ok_; }

  // The next `n` bytes, or an empty span once the payload is exhausted.
  std::span<const std::byte> Take(size_t n) {
    if (n > left_.size()) {
      ok_ = false;
      left_ = {};
      return {};
    }
    auto taken = left_.first(n);
    left_ = left_.subspan(n);
    return taken;
  }

  template <WireScalar T>
  void Read(T& value) {
    if (auto bytes = Take(sizeof(T)); ok_) memcpy(&value, bytes.data(), sizeof(T));
  }
  template <size_t N>
  void Read(Pad<N>&) {
    Take(N);
  }
  void Read(std::string_view& value) {
    uint16_t length = 0;
    Read(length);
    auto bytes = Take(length);
    value = {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  template <typename T>
  void Read(PackedArray<T>& value) {
    uint16_t count = 0;
    Read(count);
    auto bytes = Take(size_t{count} * sizeof(T));
    value = ok_ ? PackedArray<T>(bytes.data(), count) : PackedArray<T>();
  }
  void Read(StringArray& value) {
    uint16_t count = 0;
    Read(count);
    const std::byte* start = left_.data();
    for (uint16_t i = 0; i < count && ok_; ++i) {
      std::string_view item;
      Read(item);
    }
    value = ok_ ? StringArray(start, count) : StringArray();
  }
  void Read(Rest& value) { value.bytes = Take(left_.size()); }

 private:
  std::span<const std::byte> left_;
  bool ok_ = true;
};

// Writes fields one after another into a buffer that may be shared memory: nothing written is read back. A field that
// does not fit, or a string longer than its length field can say, makes ok() false for good.
class Writer {
 public:
  explicit Writer(std::span<std::byte> buffer) : buffer_(buffer) {}

  bool ok() const { return ok_; }
  // Bytes written so far.
  size_t size() const { return size_; }

  // Room for `n` bytes that the caller fills, or an empty span if they do not fit.
  std::span<std::byte> Reserve(size_t n) {
    if (!ok_ || n > buffer_.size() - size_) {
      ok_ = false;
      return {};
    }
    auto room = buffer_.subspan(size_, n);
    size_ += n;
    return room;
  }

  template <WireScalar T>
  void Write(const T& value) {
    if (auto room = Reserve(sizeof(T)); ok_) memcpy(room.data(), &value, sizeof(T));
  }
  template <size_t N>
  void Write(const Pad<N>&) {
    if (auto room = Reserve(N); ok_) memset(room.data(), 0, N);
  }
  void Write(const std::string_view& value) {
    if (value.size() > UINT16_MAX) {
      ok_ = false;
      return;
    }
    Write(static_cast<uint16_t>(value.size()));
    WriteBytes(std::as_bytes(std::span(value)));
  }
  template <typename T>
  void Write(const PackedArray<T>& value) {
    Write(value.size());
    WriteBytes(value.bytes());
  }
  void Write(const StringArray& value) {
    Write(value.size());
    for (std::string_view item : value) Write(item);
  }
  void Write(const Rest& value) { WriteBytes(value.bytes); }

 private:
  void WriteBytes(std::span<const std::byte> bytes) {
    if (auto room = Reserve(bytes.size()); ok_ && !bytes.empty()) memcpy(room.data(), bytes.data(), bytes.size());
  }

  std::span<std::byte> buffer_;
  size_t size_ = 0;
  bool ok_ = true;
};

// A message body lists its fields in wire order, once: `LISAFS_FIELDS(fd, flags, padding)`. Encoding, decoding and the
// documentation follow from that.
#define LISAFS_FIELDS(...)                                      \
  auto Tie() { return std::tie(__VA_ARGS__); }                  \
  auto Tie() const { return std::tie(__VA_ARGS__); }            \
  static constexpr std::string_view kFieldNames = #__VA_ARGS__; \
  static_assert(true)

template <typename Body>
concept WireBody = requires(Body& body) {
  body.Tie();
};

// Decodes a body from the start of `payload`; what follows it is ignored. False if the payload is too short for what it
// announces: the body's fields are then meaningless.
template <WireBody Body>
[[nodiscard]] bool Decode(std::span<const std::byte> payload, Body& body) {
  Reader reader(payload);
  std::apply([&](auto&... field) { (reader.Read(field), ...); }, body.Tie());
  return reader.ok();
}

// Writes a body. Writer::ok() says whether it fit.
template <WireBody Body>
void Encode(Writer& writer, const Body& body) {
  std::apply([&](const auto&... field) { (writer.Write(field), ...); }, body.Tie());
}

inline std::string_view StringArray::Iterator::operator*() const {
  if (item_ != nullptr) return *item_;
  uint16_t length;
  memcpy(&length, encoded_, sizeof length);
  return {reinterpret_cast<const char*>(encoded_ + sizeof length), length};
}

inline StringArray::Iterator& StringArray::Iterator::operator++() {
  if (item_ != nullptr) {
    ++item_;
  } else {
    encoded_ += sizeof(uint16_t) + (**this).size();
  }
  --left_;
  return *this;
}

}  // namespace lisafs

#endif  // LISAFS_LISAFS_WIRE_H_
