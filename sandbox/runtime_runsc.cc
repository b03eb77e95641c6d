#include "sandbox/runtime_runsc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "sandbox/low_level_runtime.h"
#include "sandbox/runsc_paths.h"
#include "sandbox/runtime_bundle.h"
#include "sandbox/runtime_daemon.h"
#include "sandbox/runtime_mounts.h"

namespace lisafs {
namespace {

// runsc looks for the programs that come with it beside itself, and would look beside lisafs-runsc.
constexpr char kSidecarVariable[] = "GVISOR_SIDECAR_BINARIES_DIR";
constexpr char kSidecarDirectory[] = "gvisor-bin";

// What would go wrong with runsc under way goes wrong here where it can, since not everything that its gofer says
// reaches the engine.
absl::Status CheckBundle(const RuntimeArguments& arguments) {
  absl::StatusOr<RuntimeBundle> bundle = ReadRuntimeBundle(arguments);
  if (!bundle.ok()) return bundle.status();
  if (bundle->config.HasHooks("createContainer")) {
    return absl::UnimplementedError("hooks.createContainer: cannot be run with runsc");
  }
  if (bundle->config.user_namespace()) {
    return absl::UnimplementedError("linux.namespaces: a user namespace cannot be had with runsc");
  }
  for (const OciMount& mount : bundle->config.mounts()) {
    if (!mount.options.id_mapped) continue;
    return absl::UnimplementedError(absl::StrCat("mount ", mount.target, ": ids cannot be mapped with runsc"));
  }
  return absl::OkStatus();
}

// The stand-in for the gofer opens runsc's stderr anew to say what went wrong. In a file both would write at the start.
void ShareStderr() {
  struct stat file;
  if (fstat(STDERR_FILENO, &file) != 0 || !S_ISREG(file.st_mode)) return;
  fcntl(STDERR_FILENO, F_SETFL, fcntl(STDERR_FILENO, F_GETFL) | O_APPEND);
}

}  // namespace

absl::Status PrepareRunsc(const std::string& path, const RuntimeArguments& arguments,
                          std::span<const char* const> argv) {
  if (arguments.command != "start") {
    if (absl::Status good = CheckBundle(arguments); !good.ok()) return good;
  }
  std::error_code error;
  std::filesystem::path program = std::filesystem::canonical(path, error);
  if (error) return absl::ErrnoToStatus(error.value(), path);
  absl::Status daemon = EnsureDaemon(arguments.socket, SiblingProgram("lisafsd"));
  if (!daemon.ok()) return daemon;

  if (absl::Status entered = EnterMountNamespace(); !entered.ok()) return entered;
  absl::StatusOr<std::string> scratch = StageMountPoint("rootfs", /*directory=*/true);
  if (!scratch.ok()) return scratch.status();
  if (symlink(program.c_str(), kRunscProgram) != 0) return absl::ErrnoToStatus(errno, kRunscProgram);
  std::string user_namespace = std::filesystem::read_symlink("/proc/self/ns/user", error);
  if (error || symlink(user_namespace.c_str(), kRunscUserNamespace) != 0) {
    return absl::ErrnoToStatus(error ? error.value() : errno, kRunscUserNamespace);
  }
  std::string text;
  for (const char* argument : argv) text.append(argument).push_back('\0');
  if (absl::Status written = StageFile("arguments", text).status(); !written.ok()) return written;
  ShareStderr();
  setenv(kSidecarVariable, (program.parent_path() / kSidecarDirectory).c_str(), /*overwrite=*/0);
  return absl::OkStatus();
}

}  // namespace lisafs
