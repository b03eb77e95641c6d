#include <errno.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

#include "confine/confine.h"

namespace lisafs {
namespace {

// Of the kernel's Landlock, by the version of its interface; Debian's headers know the first two.
constexpr int kFirstWithRename = 2;  // Before it, no name can be moved between directories.
constexpr uint64_t kTruncate = 1 << 14, kIoctlOfDevices = 1 << 15;
constexpr uint64_t kBindTcp = 1 << 0, kConnectTcp = 1 << 1;
constexpr uint64_t kAbstractSockets = 1 << 0, kSignals = 1 << 1;

struct Ruleset {
  uint64_t files;
  uint64_t network;
  uint64_t scopes;
};

// Everything that this version can forbid.
Ruleset EverythingOf(int version) {
  Ruleset all = {};
  all.files = (LANDLOCK_ACCESS_FS_REFER << 1) - 1;
  if (version >= 3) all.files |= kTruncate;
  if (version >= 5) all.files |= kIoctlOfDevices;
  if (version >= 4) all.network = kBindTcp | kConnectTcp;
  if (version >= 6) all.scopes = kAbstractSockets | kSignals;
  return all;
}

constexpr uint64_t kReading = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
// Nodes of devices included: an overlay's whiteout is one, and anything else takes CAP_MKNOD.
constexpr uint64_t kChanging =
    LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
    LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
    LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
    LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER | kTruncate;
// What a rule for anything but a directory may have.
constexpr uint64_t kOfOneFile = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | kTruncate;

StepResult<void> Allow(int ruleset, const FileAccess& tree, uint64_t handled) {
  struct stat stat;
  if (fstat(tree.tree, &stat) != 0) return FailStepWithErrno("fstat of a tree");
  landlock_path_beneath_attr rule = {};
  rule.allowed_access = (tree.read_only ? kReading : kReading | kChanging) & handled;
  if (!S_ISDIR(stat.st_mode)) rule.allowed_access &= kOfOneFile;
  rule.parent_fd = tree.tree;
  if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
    return FailStepWithErrno("landlock_add_rule");
  }
  return {};
}

}  // namespace

int LandlockVersion() {
  return static_cast<int>(syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION));
}

StepResult<void> RestrictFileAccess(std::span<const FileAccess> trees) {
  const int version = LandlockVersion();
  if (version < kFirstWithRename) return {};
  const Ruleset everything = EverythingOf(version);
  // An older kernel takes a longer structure if what it does not know is zero.
  Fd ruleset(static_cast<int>(syscall(SYS_landlock_create_ruleset, &everything, sizeof everything, 0)));
  if (!ruleset) return FailStepWithErrno("landlock_create_ruleset");
  for (const FileAccess& tree : trees) {
    if (auto allowed = Allow(ruleset.get(), tree, everything.files); !allowed) return allowed;
  }
  if (syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) return FailStepWithErrno("landlock_restrict_self");
  return {};
}

}  // namespace lisafs
