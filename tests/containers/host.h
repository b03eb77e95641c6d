#ifndef LISAFS_TESTS_CONTAINERS_HOST_H_
#define LISAFS_TESTS_CONTAINERS_HOST_H_

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/bundle.h"
#include "tests/support/files.h"
#include "tests/support/process.h"

// What tests of whole containers share. Link //tests/support:private_host_main with them.

namespace lisafs::tests {

// A host with a lisafsd of its own, on which containers run through lisafs-runtime and runc. When a test ends, nothing
// that it started may be left: no process, no mount, no cgroup, no sandbox in the state directory.
//
// With LISAFS_TEST_RUNTIME=PATH in the environment the containers run on that runtime alone, without LISAFS: what fails
// then is wrong with the test, or asks for more than a container has.
class Host : public testing::Test {
 public:
  void SetUp() override;
  void TearDown() override;

  static std::optional<std::string> PlainRuntime();

  // Where everything that belongs to this host lies.
  std::string Path(std::string_view name) const { return dir_ / name; }
  std::string socket() const { return Path("control.sock"); }
  std::string state_dir() const { return Path("state"); }
  // One of the project's programs. They lie in one directory, as when installed.
  static std::string Program(std::string_view name);

  // lisafsd is running when a test begins.
  void StartDaemon(const std::vector<std::string>& flags = {});
  void KillDaemon();
  // All that run, whoever started them: lisafs-runtime starts one when there is none.
  static std::vector<pid_t> Daemons();
  static void StopDaemons();

  // An id that no other container on the machine has.
  std::string Id(std::string_view name) const;

  // A bundle in a directory of its own, with a busybox root.
  Bundle BusyboxBundle(std::string_view name) const;
  // A bundle whose root is Debian's, writable, under an overlay.
  Bundle DebianBundle(std::string_view name) const;

  // What every lisafs-runtime is given from now on, behind its own flags: another low-level runtime, its global flags.
  void SetRuntimeFlags(std::vector<std::string> flags) { runtime_flags_ = std::move(flags); }
  void AddRuntimeFlags(const std::vector<std::string>& flags) {
    runtime_flags_.insert(runtime_flags_.end(), flags.begin(), flags.end());
  }
  // lisafs-runtime with its own flags before `arguments`.
  Ran Runtime(const std::vector<std::string>& arguments, const RunOptions& options = {}) const;
  std::vector<std::string> RuntimeCommand(const std::vector<std::string>& arguments) const;
  // Writes the bundle and runs the container to its end.
  Ran RunContainer(const Bundle& bundle, const std::string& id, const RunOptions& options = {}) const;

  // lisafsctl.
  Ran Control(const std::vector<std::string>& arguments) const;
  nlohmann::json Sandboxes() const;
  // Null if there is none.
  nlohmann::json Sandbox(const std::string& id) const;

 private:
  TempDir dir_;
  std::optional<Process> daemon_;
  std::vector<std::string> mounts_before_;
  std::vector<std::string> runtime_flags_;
};

// A container that runs in the background from construction, which fails the test if that does not work, to
// destruction, which deletes it.
class Container {
 public:
  Container(const Host& host, const Bundle& bundle, std::string id);
  Container(const Container&) = delete;
  Container& operator=(const Container&) = delete;
  ~Container();

  const std::string& id() const { return id_; }
  // Its first process, as the host sees it.
  pid_t pid() const { return pid_; }
  // What its first process has written to standard output and error so far.
  std::string out() const { return process_.out() + process_.err(); }

  // Runs a shell script, or a command, in it.
  Ran Exec(const std::string& script, const RunOptions& options = {}) const;
  Ran ExecCommand(const std::vector<std::string>& command, const RunOptions& options = {}) const;
  // "running", "paused", "stopped"; empty if there is no such container.
  std::string Status() const;
  Ran Delete();

 private:
  const Host& host_;
  std::string id_;
  Process process_;
  pid_t pid_ = -1;
  bool deleted_ = false;
};

// Makes it, when it is not there yet, and gives its path. Nobody may write to it.
std::string DebianRoot();

}  // namespace lisafs::tests

#endif  // LISAFS_TESTS_CONTAINERS_HOST_H_
