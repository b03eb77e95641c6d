// A container on FUSE over io_uring, which lisafsd switches on when it is told to.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "base/fd.h"
#include "tests/containers/host.h"

namespace lisafs::tests {
namespace {

constexpr char kSwitch[] = "/sys/module/fuse/parameters/enable_uring";

// Leaves the host's switch as it was. Other tests that use it meanwhile (tests/filesystem) wait, or are waited for.
class IoUring : public Host {
 protected:
  void SetUp() override {
    lock_.reset(open("/run/lock/lisafs-test-io-uring", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_EQ(flock(lock_.get(), LOCK_EX), 0);
    before_ = ReadFile(kSwitch).value_or("");
    EXPECT_EQ(pwrite(lock_.get(), before_.data(), std::min<size_t>(before_.size(), 1), 0), before_.empty() ? 0 : 1);
    Host::SetUp();
    if (before_.empty()) GTEST_SKIP() << "this kernel has no FUSE over io_uring";
    if (PlainRuntime()) GTEST_SKIP() << "without LISAFS";
  }
  void TearDown() override {
    Host::TearDown();
    if (!before_.empty()) std::ofstream(kSwitch) << before_ << std::flush;
  }

  size_t Rings(const std::string& id) const {
    const std::string fds = "/proc/" + std::to_string(Sandbox(id).value("pluginPid", 0)) + "/fd";
    size_t rings = 0;
    for (const auto& entry : std::filesystem::directory_iterator(fds)) {
      std::error_code error;
      if (std::filesystem::read_symlink(entry.path(), error) == "anon_inode:[io_uring]") ++rings;
    }
    return rings;
  }

 private:
  Fd lock_;
  std::string before_;
};

TEST_F(IoUring, IsUsedWhereTheOperatorWantsIt) {
  Bundle bundle = BusyboxBundle("bundle");
  bundle.SetScript("exec sleep 1000");
  {
    Container container(*this, bundle, Id("without"));
    EXPECT_EQ(Rings(container.id()), 0u);
  }
  KillDaemon();
  StartDaemon({"--fuse-io-uring"});
  EXPECT_EQ(ReadFile(kSwitch), "Y\n");
  Container container(*this, bundle, Id("with"));
  EXPECT_GE(Rings(container.id()), std::thread::hardware_concurrency());
  Ran ran = container.Exec(R"sh(
    for i in $(seq 20); do (for j in $(seq 20); do echo $i.$j > /tmp/$i.$j; done) & done; wait
    cat /tmp/*.* | wc -l; rm /tmp/*.*; ls /tmp | wc -l
  )sh");
  EXPECT_EQ(ran.out, "400\n0\n") << ran;
}

}  // namespace
}  // namespace lisafs::tests
