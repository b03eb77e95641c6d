#ifndef LISAFS_TESTS_FUZZ_FUZZ_INPUT_H_
#define LISAFS_TESTS_FUZZ_FUZZ_INPUT_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "lisafs/messages.h"
#include "tests/conformance/lane.h"

namespace lisafs::fuzz {

using conformance::Bytes;

// What libFuzzer gives, read as choices. When nothing is left, every choice is the first.
class FuzzInput {
 public:
  explicit FuzzInput(std::span<const uint8_t> data) : data_(data) {}

  bool empty() const { return data_.empty(); }
  uint8_t Byte();
  // Below `n`, which is at most 256.
  unsigned Below(unsigned n) { return Byte() % n; }
  std::string_view Text(size_t n);

  // FDIDs up to this one have been given to the client.
  void set_fds_issued(Fdid last) { fds_issued_ = last; }

  // A request's payload, whose fields are likely ones: FDIDs that may be open, names that may exist. Now and then some
  // byte is not.
  Bytes Payload(Mid mid);

 private:
  template <typename Body>
  Bytes PayloadOf();

  void Fill(std::string_view& value);
  void Fill(CreateCommon& value);
  void Fill(Timespec& value) { value = {Byte(), Number<int64_t>()}; }
  void Fill(FdArray& value);
  void Fill(StringArray& value);
  void Fill(Rest& value);
  template <std::integral T>
  void Fill(T& value) {
    value = Number<T>();
  }
  template <size_t N>
  void Fill(Pad<N>&) {}

  template <std::integral T>
  T Number();

  std::span<const uint8_t> data_;
  Fdid fds_issued_ = 0;
  std::vector<Fdid> fds_;                // What an FdArray is a view of,
  std::vector<std::string_view> names_;  // and a StringArray.
};

}  // namespace lisafs::fuzz

#endif  // LISAFS_TESTS_FUZZ_FUZZ_INPUT_H_
