#ifndef LISAFS_SANDBOX_OCI_ANNOTATIONS_H_
#define LISAFS_SANDBOX_OCI_ANNOTATIONS_H_

#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace lisafs {

// What a container's annotations say about a mount. Whatever is kDefault is lisafsd's to choose.
struct OciMountPolicy {
  enum class Cache { kDefault, kExclusive, kShared };
  Cache cache = Cache::kDefault;
  bool withhold_descriptors = false;
  bool withhold_passthrough = false;
};

// The annotations that are for lisafs: those whose keys begin with kPrefix. Each key is one property of mounts, and its
// value a list with a word for all mounts, words for single ones, or both:
//
//   dev.lisafs.cache=shared                       every mount
//   dev.lisafs.cache=/data=exclusive,/=shared     two of them
//   dev.lisafs.passthrough=withhold,/logs=allow   every mount but one
class OciAnnotations {
 public:
  static constexpr std::string_view kPrefix = "dev.lisafs.";

  // INVALID_ARGUMENT names a key of that prefix that is not known, or what is wrong with its value. Keys without the
  // prefix are nobody's business here.
  static absl::StatusOr<OciAnnotations> Parse(const std::map<std::string, std::string>& annotations);

  // What they say about the mount at `target`, an absolute path in the container.
  OciMountPolicy Of(const std::string& target) const;
  // INVALID_ARGUMENT names a mount that is spoken of and for which `exists` is false.
  template <typename F>
  absl::Status CheckTargets(F&& exists) const {
    for (const auto& [target, words] : of_one_) {
      if (!exists(target)) return NoSuchMount(target, words.begin()->first);
    }
    return absl::OkStatus();
  }

 private:
  using Words = std::map<std::string, std::string>;  // By property.

  absl::Status Read(const std::string& property, std::string_view value);
  static absl::Status NoSuchMount(const std::string& target, const std::string& property);

  Words of_all_;
  std::map<std::string, Words> of_one_;
};

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_OCI_ANNOTATIONS_H_
