#ifndef LISAFS_CONTROL_SERVICE_TESTING_H_
#define LISAFS_CONTROL_SERVICE_TESTING_H_

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "proto/lisafs/control/v1/control.grpc.pb.h"

// For tests that talk with a lisafsd of their own over its socket.

namespace lisafs {

namespace v1 = control::v1;

// All of it; "" if it cannot be read.
std::string ReadFile(const std::string& path);

// Asks again and again; false if it did not hold before `patience` was over.
bool Eventually(const std::function<bool()>& holds, std::chrono::milliseconds patience = std::chrono::seconds(60));

// A loopback port that was free a moment ago.
int FreePort();

// Whether a process is there and no zombie.
bool Lives(pid_t pid);

// What does not change while a sandbox runs.
v1::Sandbox Lasting(v1::Sandbox sandbox);

// A process in a mount namespace of its own: what calls CreateSandbox. A tmpfs on `directory` has: dir, file, and mount
// points at_dir and at_file.
class Caller {
 public:
  explicit Caller(std::string directory);
  Caller(const Caller&) = delete;
  ~Caller() { End(); }

  // With its mounts.
  void End();

  pid_t pid() const { return pid_; }
  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  // How many of our file systems it sees.
  int FuseMounts() const;

 private:
  std::string directory_;
  pid_t pid_;
};

// A lisafsd and a caller. Its gofer, plugin and broker are what the environment variables GOFER, PLUGIN and BROKER
// name, the real ones, or by default stand-ins that live and die as those do. At the end of each test nothing may be
// left.
class ServiceTest : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  std::string Socket() { return directory_ + "/control.sock"; }
  std::string StateDir() { return directory_ + "/state"; }
  std::string Log() { return ReadFile(directory_ + "/log"); }
  // Where it serves metrics, as its log says; 0 if it does not.
  int MetricsPort();

  // Runs a lisafsd with what it writes in the log, which begins anew. For roles see sandbox/stand_in.cc.
  pid_t SpawnDaemon(const std::string& gofer = "gofer", const std::string& plugin = "plugin",
                    const std::string& broker = "broker");
  // Runs the one that the calls below are made to.
  void StartDaemon(const std::string& gofer = "gofer", const std::string& plugin = "plugin",
                   const std::string& broker = "broker");
  // Has it read this configuration from the next start on.
  void Configure(const std::string& toml);
  // Gives its exit status, or -1 if it was killed.
  int StopDaemon(int signal);

  // One that can be granted: caller_'s dir on at_dir as "/", and its file on at_file, read-only, as "/etc/hosts".
  v1::CreateSandboxRequest Request(const std::string& id);
  void RenewCaller();

  grpc::Status Create(const v1::CreateSandboxRequest& request, v1::Sandbox* sandbox = nullptr);
  grpc::Status Get(const std::string& id, v1::Sandbox* sandbox);
  grpc::Status Delete(const std::string& id);
  grpc::Status Update(const v1::UpdateMountRequest& request, v1::Mount* mount = nullptr);
  std::vector<v1::Sandbox> List();

  // The sandboxes with a directory on disk.
  std::vector<std::string> StateIds();
  // Waits until the sandbox is in STATE_FAILED and gives its failure.
  std::string AwaitFailure(const std::string& id);
  void ExpectNothingLeft();

  std::string directory_;
  std::unique_ptr<Caller> caller_;
  pid_t daemon_ = -1;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Control::Stub> stub_;

 private:
  // The program for a role: the stand-in under the role's name, or a real one.
  std::string Program(const std::string& role);
};

}  // namespace lisafs

#endif  // LISAFS_CONTROL_SERVICE_TESTING_H_
