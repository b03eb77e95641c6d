#ifndef LISAFS_PLUGIN_REQUEST_H_
#define LISAFS_PLUGIN_REQUEST_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "plugin/fuse_kernel.h"

namespace lisafs {

// What is left of a request's arguments behind those of fixed size: names and data, taken in order.
class Arguments {
 public:
  explicit Arguments(std::span<const std::byte> left) : left_(left) {}

  size_t size() const { return left_.size(); }

  // A struct, copied. EINVAL if it is cut short.
  template <typename T>
  Result<T> Take() {
    if (left_.size() < sizeof(T)) return Fail(EINVAL);
    T value;
    memcpy(&value, left_.data(), sizeof value);
    left_ = left_.subspan(sizeof value);
    return value;
  }

  // A string up to its NUL, which must be there.
  Result<std::string_view> TakeString() {
    std::string_view text(reinterpret_cast<const char*>(left_.data()), left_.size());
    size_t length = text.find('\0');
    if (length == text.npos) return Fail(EINVAL);
    left_ = left_.subspan(length + 1);
    return text.substr(0, length);
  }

  // A string that names something in a directory.
  Result<std::string_view> TakeName() {
    LISAFS_ASSIGN_OR_RETURN(std::string_view name, TakeString());
    if (name.empty()) return Fail(EINVAL);
    if (name.size() > kMaxName) return Fail(ENAMETOOLONG);
    return name;
  }

  Result<std::span<const std::byte>> TakeBytes(size_t size) {
    if (left_.size() < size) return Fail(EINVAL);
    auto bytes = left_.first(size);
    left_ = left_.subspan(size);
    return bytes;
  }

 private:
  std::span<const std::byte> left_;
};

// An answer in the making: room for the header, then what is appended. Lives in its thread's buffer and is used for one
// request after another.
class Reply {
 public:
  // `buffer`, aligned to 8 bytes, must have room for the header and the largest answer.
  explicit Reply(std::span<std::byte> buffer) : buffer_(buffer) {}

  // Goes on in another buffer.
  void Use(std::span<std::byte> buffer) { buffer_ = buffer; }

  // Forgets all about the previous request.
  void Reset() {
    size_ = sizeof(fuse_out_header);
    expected_ = true;
    looked_up.clear();
    opened = 0;
    changed = 0;
    outdated_listing = 0;
  }

  // Room that follows what is there.
  std::span<std::byte> room() { return buffer_.subspan(size_); }
  // Counts bytes that were written to the room.
  void Extend(size_t size) { size_ += size; }
  // A zeroed struct whose size is a multiple of 8, while nothing else was appended but such.
  template <typename T>
  T& Append() {
    static_assert(sizeof(T) % 8 == 0);
    T* added = new (room().data()) T();
    Extend(sizeof(T));
    return *added;
  }
  size_t payload_size() const { return size_ - sizeof(fuse_out_header); }
  std::span<const std::byte> payload() const { return buffer_.subspan(sizeof(fuse_out_header), payload_size()); }
  std::span<std::byte> payload() { return buffer_.subspan(sizeof(fuse_out_header), payload_size()); }

  // The kernel waits for no answer.
  void ExpectNone() { expected_ = false; }
  bool expected() const { return expected_; }

  // The whole answer with its header. `error` is 0 or an errno; with one, nothing else is sent.
  std::span<const std::byte> Finish(uint64_t unique, int error) {
    if (error != 0) size_ = sizeof(fuse_out_header);
    fuse_out_header header = {.len = static_cast<uint32_t>(size_), .error = -error, .unique = unique};
    memcpy(buffer_.data(), &header, sizeof header);
    return buffer_.first(size_);
  }

  // What the kernel comes to hold with this answer, and so does not if it does not take it: nodes, each looked up once,
  // and an open file.
  std::vector<uint64_t> looked_up;
  uint64_t opened = 0;

  // A node whose attributes the kernel must not go on believing; 0 for none.
  uint64_t changed = 0;
  // A directory whose listing the kernel has cached and must not use; 0 for none.
  uint64_t outdated_listing = 0;

 private:
  std::span<std::byte> buffer_;
  size_t size_ = sizeof(fuse_out_header);
  bool expected_ = true;
};

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_REQUEST_H_
