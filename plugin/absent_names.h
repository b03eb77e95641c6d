#ifndef LISAFS_PLUGIN_ABSENT_NAMES_H_
#define LISAFS_PLUGIN_ABSENT_NAMES_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace lisafs {

// Names that the kernel may believe for long to lead to nothing: no node stands for them, and the kernel can only be
// made to forget them one by one. As many as kMost are kept in mind. Any thread may call this.
class AbsentNames {
 public:
  static constexpr size_t kMost = 65'536;
  using Names = std::set<std::pair<uint64_t, std::string>>;  // By the directory's number.

  // False if there are too many: then it must not be believed for long.
  bool Add(uint64_t directory, std::string_view name);
  // It leads somewhere.
  void Remove(uint64_t directory, std::string_view name);
  Names All();

 private:
  std::atomic<bool> any_ = false;
  std::mutex mutex_;
  Names names_;
};

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_ABSENT_NAMES_H_
