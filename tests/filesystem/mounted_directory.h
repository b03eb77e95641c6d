#ifndef LISAFS_TESTS_FILESYSTEM_MOUNTED_DIRECTORY_H_
#define LISAFS_TESTS_FILESYSTEM_MOUNTED_DIRECTORY_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include "lisafs/counters.h"
#include "lisafs/live_policy.h"
#include "lisafs/messages.h"
#include "sandbox/process.h"
#include "tests/support/files.h"

namespace lisafs::tests {

// A temporary directory of the host, or a file in it, and the same seen through the real plugin and gofer, mounted
// beside it. A failure to set it up fails the running test.
class MountedDirectory {
 public:
  struct Options {
    bool read_only = false;
    bool withhold_descriptors = false;
    bool single_file = false;  // Shows the file host()/file alone.
    bool passthrough = false;  // With a broker.
    uint64_t passthrough_from = 0;
    bool exclusive = false;  // Nobody changes the files on the host.
    bool watch = false;      // Others' changes are told.
    int overlays = 0;        // host() is an overlayfs, or one upon another.
    std::string host;        // A directory that there is, to be host().
    bool recursive = false;  // With what is mounted within.
  };
  explicit MountedDirectory(const Options& options);
  // Unmounts, and expects both programs to end by themselves and without failure, unless they were killed.
  ~MountedDirectory();
  MountedDirectory(const MountedDirectory&) = delete;

  bool ok() const { return plugin_.has_value(); }
  // Whether requests are to come over io_uring.
  bool io_uring() const { return io_uring_; }
  // The directory as the host sees it, and as a container would.
  const std::string& host() const { return host_; }
  const std::string& mounted() const { return mounted_; }
  std::string operator/(std::string_view name) const { return mounted_ + "/" + std::string(name); }
  std::string OnHost(std::string_view name) const { return host_ + "/" + std::string(name); }

  pid_t gofer_pid() const { return gofer_->pid(); }
  pid_t plugin_pid() const { return plugin_->pid(); }
  pid_t broker_pid() const { return broker_->pid(); }  // With passthrough.
  // They return when the process is gone; of the plugin, when all know.
  void KillGofer();
  void KillPlugin();
  void KillBroker();
  // Until plugin and gofer have done, and counted, what they were asked: all their threads sleep. No longer than two
  // seconds, should they not.
  void AwaitQuiet() const;
  // How often the gofer has been asked this.
  uint64_t Calls(Mid message) const;
  // All that it has been asked for. That FDIDs are given back, which happens at any time, does not count.
  uint64_t Requests() const;

  // What the mount allows from now on.
  void Restrict(uint32_t restrictions);

  // Unmounts as far as nobody uses it any more; false if somebody does.
  bool Unmount();
  // Whether all end within seconds, and well.
  bool BothEnd();

 private:
  void SetUp(const Options& options);
  void MountOverlays(int count);
  uint64_t Counted(Mid message) const;

  TempDir directory_;
  int overlays_ = 0;  // Mounted.
  const std::string host_;
  std::string mounted_ = directory_ / "mounted";
  bool io_uring_ = false;
  std::optional<Process> gofer_;
  std::optional<Process> plugin_;
  std::optional<Process> broker_;
  CountersPage* counters_ = nullptr;
  LivePolicyPage* policy_ = nullptr;
};

// Descriptors that a process has open.
size_t CountDescriptors(pid_t pid);

}  // namespace lisafs::tests

#endif  // LISAFS_TESTS_FILESYSTEM_MOUNTED_DIRECTORY_H_
