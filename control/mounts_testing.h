#ifndef LISAFS_CONTROL_MOUNTS_TESTING_H_
#define LISAFS_CONTROL_MOUNTS_TESTING_H_

#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "control/service_testing.h"

namespace lisafs {

class MountsTest : public ServiceTest {
 protected:
  // A sandbox "web", whose container is the caller: a tmpfs of its own is where mounts go.
  void SetUp() override {
    ServiceTest::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(Create(Request("web"), &sandbox_).ok());
    BeContainer("web");
  }
  void TearDown() override {
    extra_.clear();
    ServiceTest::TearDown();
  }

  void BeContainer(const std::string& id) {
    std::istringstream fields(ReadFile("/proc/" + std::to_string(caller_->pid()) + "/stat"));
    std::string field;
    for (int i = 0; i < 22; ++i) fields >> field;
    std::ofstream(StateDir() + "/" + id + "/container") << caller_->pid() << " " << field;
  }

  v1::AddMountRequest Addition(const std::string& name) {
    v1::AddMountRequest request;
    request.set_sandbox_id("web");
    request.mutable_mount()->set_source("/usr");
    request.mutable_mount()->set_target(caller_->Path(name));
    request.set_create_target(true);
    return request;
  }
  grpc::Status Add(const v1::AddMountRequest& request, v1::Mount* mount = nullptr) {
    grpc::ClientContext context;
    v1::AddMountResponse response;
    grpc::Status status = stub_->AddMount(&context, request, &response);
    if (mount != nullptr) *mount = response.mount();
    return status;
  }
  grpc::Status Remove(const std::string& name,
                      v1::RemoveMountRequest::WhenBusy when_busy = v1::RemoveMountRequest::WHEN_BUSY_REFUSE,
                      uint32_t wait = 0) {
    v1::RemoveMountRequest request;
    request.set_sandbox_id("web");
    request.set_target(caller_->Path(name));
    request.set_when_busy(when_busy);
    request.set_wait_milliseconds(wait);
    grpc::ClientContext context;
    v1::RemoveMountResponse response;
    return stub_->RemoveMount(&context, request, &response);
  }
  std::string Inside(const std::string& name) const {
    return "/proc/" + std::to_string(caller_->pid()) + "/root" + caller_->Path(name);
  }
  std::vector<std::string> Targets() {
    v1::Sandbox sandbox;
    EXPECT_TRUE(Get("web", &sandbox).ok());
    std::vector<std::string> targets;
    for (const v1::Mount& mount : sandbox.mounts()) targets.push_back(mount.spec().target());
    return targets;
  }

  v1::Sandbox sandbox_;
  std::vector<std::unique_ptr<Caller>> extra_;
};

}  // namespace lisafs

#endif  // LISAFS_CONTROL_MOUNTS_TESTING_H_
