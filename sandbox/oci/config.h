#ifndef LISAFS_SANDBOX_OCI_CONFIG_H_
#define LISAFS_SANDBOX_OCI_CONFIG_H_

#include <cstddef>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "sandbox/id_map.h"
#include "sandbox/oci/annotations.h"
#include "sandbox/oci/options.h"

namespace lisafs {

// A mount of a container, as its config.json has it.
struct OciMount {
  std::string target;       // An absolute path in the container, without "." and ".." and double slashes.
  bool bind = false;        // The host's files: what follows is only set for these.
  std::string source;       // An absolute path.
  OciMountOptions options;  // What was asked for.
  // The ids inside are the source's. Without a value and with options.id_mapped they are those of the container's user
  // namespace.
  std::optional<IdMap> id_map;
  OciMountPolicy policy;  // What the container's annotations say about it.
};

// A container's user namespace: a new one with these ids, or one that is there.
struct OciUserNamespace {
  std::string path;  // Empty: a new one.
  IdMap id_map;      // Of a new one.
};

// A config.json of the OCI runtime specification: what of the host it shows to the container, and the same file with
// other sources in it. Everything that lisafs does not look at is kept as it is.
class OciConfig {
 public:
  // Longer files are refused.
  static constexpr size_t kMaxSize = 16 << 20;

  // `bundle` is the absolute path that relative ones in the file start from.
  // INVALID_ARGUMENT names the key that is missing or malformed, or asks for what cannot be honoured.
  static absl::StatusOr<OciConfig> Parse(std::string_view text, const std::string& bundle);
  // Parse of the file at `path`, which messages name. NOT_FOUND and other codes: it cannot be read.
  static absl::StatusOr<OciConfig> Read(const std::string& path, const std::string& bundle);

  OciConfig(OciConfig&&) noexcept;
  OciConfig& operator=(OciConfig&&) noexcept;
  ~OciConfig();

  // The container's root file system: target "/", recursive, read_only if config.json says so.
  const OciMount& root() const { return root_; }
  // The others, in the file's order.
  const std::vector<OciMount>& mounts() const { return mounts_; }
  // If it has one of its own.
  const std::optional<OciUserNamespace>& user_namespace() const { return user_namespace_; }
  // Where the container's process starts: an absolute path in the container, or empty if the file has none.
  const std::string& working_directory() const { return working_directory_; }

  // A mount's new source: a single file system at `path`, whose ids are mapped already.
  struct Replacement {
    size_t mount;  // Index in mounts().
    std::string path;
  };
  // The file with another root, other sources, and a createRuntime hook, `hook[0]` with the arguments `hook`, before
  // those that are there.
  std::string Rewritten(const std::string& root, std::span<const Replacement> replacements,
                        const std::vector<std::string>& hook) const;

  // A mount's destination as the container will see it, and options that are added to it.
  struct Resolved {
    size_t mount;  // Index in mounts().
    std::string destination;
    std::vector<std::string> options;
  };
  // The list of mounts alone, with the sources of bind mounts made absolute and these changes, as JSON.
  std::string ResolvedMounts(std::span<const Resolved> resolved) const;

  // Whether the container has hooks of this kind, such as "createContainer".
  bool HasHooks(const std::string& kind) const;

 private:
  class Reader;
  OciConfig();

  // The list `name` of the object `object`, or null.
  const nlohmann::ordered_json* List(const std::string& object, const std::string& name) const;

  std::unique_ptr<nlohmann::ordered_json> document_;
  OciMount root_;
  std::vector<OciMount> mounts_;
  std::optional<OciUserNamespace> user_namespace_;
  std::string working_directory_;
};

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_OCI_CONFIG_H_
