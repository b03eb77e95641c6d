// Mounts that come and go, and change what they allow, while a container runs.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <thread>

#include "tests/containers/host.h"

namespace lisafs::tests {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::HasSubstr;

class AddedMounts : public Host {
 protected:
  void SetUp() override {
    if (PlainRuntime()) GTEST_SKIP() << "is about LISAFS";
    Host::SetUp();
    if (IsSkipped()) return;
    MakeDirectory(Path("source"));
    WriteFile(Path("source/file"), "content");
  }
  // A container that only waits.
  std::unique_ptr<Container> Start(const std::function<void(Bundle&)>& change = [](Bundle&) {}) {
    Bundle bundle = BusyboxBundle("bundle");
    bundle.SetScript("sleep 1000");
    change(bundle);
    return std::make_unique<Container>(*this, bundle, Id("added"));
  }
  Ran Mount(const std::vector<std::string>& arguments) const {
    std::vector<std::string> all = {"mount"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return Control(all);
  }
  void ExpectOk(const Ran& ran) { EXPECT_TRUE(ran.ok()) << ran; }
};

TEST_F(AddedMounts, ADirectoryAndAFileComeAndGo) {
  auto container = Start();
  const std::string& id = container->id();
  ExpectOk(Mount({"add", id, Path("source"), "/mnt/deep/data", "--create"}));
  WriteFile(Path("hosts"), "1.2.3.4 added\n");
  ExpectOk(Mount({"add", id, Path("hosts"), "/etc/added", "--create", "-o", "ro,nodev"}));
  Ran ran = container->Exec(
      "cat /mnt/deep/data/file && echo && echo new > /mnt/deep/data/new && cat /etc/added; echo x > /etc/added; "
      "grep -c fuse.lisafs /proc/self/mountinfo");
  EXPECT_EQ(ran.out, "content\n1.2.3.4 added\n3\n") << ran;
  EXPECT_THAT(ran.err, HasSubstr("Read-only file system"));
  EXPECT_EQ(ReadFile(Path("source/new")), "new\n");
  EXPECT_THAT(Control({"mounts", id}).out, HasSubstr("/mnt/deep/data"));
  EXPECT_EQ(Sandbox(id)["mounts"].size(), 3u);

  // What takes the source's place later does not show.
  std::filesystem::rename(Path("source"), Path("moved"));
  MakeDirectory(Path("source"));
  WriteFile(Path("source/file"), "another");
  EXPECT_EQ(container->Exec("cat /mnt/deep/data/file").out, "content");
  Ran again = Mount({"add", id, Path("source"), "/mnt/deep/data"});
  EXPECT_EQ(again.status, 1);
  EXPECT_THAT(again.err, HasSubstr("exists already"));

  ExpectOk(Mount({"remove", id, "/mnt/deep/data"}));
  ExpectOk(Mount({"remove", id, "/etc/added"}));
  EXPECT_EQ(container->Exec("ls -A /mnt/deep/data; cat /etc/added; grep -c fuse.lisafs /proc/self/mountinfo").out,
            "1\n");
  Ran gone = Mount({"remove", id, "/etc/added"});
  EXPECT_EQ(gone.status, 1);
  EXPECT_THAT(gone.err, HasSubstr("no such mount"));
}

TEST_F(AddedMounts, GoWithTheContainer) {
  auto container = Start();
  ExpectOk(Mount({"add", container->id(), Path("source"), "/mnt", "--create"}));
  ExpectOk(container->Delete());
  EXPECT_TRUE(Sandboxes().empty());
}

TEST_F(AddedMounts, OpenFilesKeepAMountOrAreCutOff) {
  auto container = Start();
  const std::string& id = container->id();
  ExpectOk(Mount({"add", id, Path("source"), "/mnt", "--create"}));
  const std::string inside = "/proc/" + std::to_string(container->pid()) + "/root/mnt/file";
  int file = open(inside.c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(file, 0);
  Ran refused = Mount({"remove", id, "/mnt"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr("it is in use"));
  ExpectOk(Mount({"remove", id, "/mnt", "--force"}));
  EXPECT_EQ(fchmod(file, 0644), -1);
  EXPECT_EQ(errno, ENOTCONN);
  close(file);
  EXPECT_EQ(container->Exec("ls -A /mnt").out, "");
}

TEST_F(AddedMounts, TheContainersNamesLeadNowhereElse) {
  auto container = Start();
  const std::string& id = container->id();
  ASSERT_TRUE(container->Exec("ln -s /proc /a; ln -s ../../../../../.. /b; mkdir /c; ln -s /dev/shm /c/d").ok());
  struct Bad {
    std::string target, message;
  };
  const Bad cases[] = {
      {"/proc/sys", "nothing is mounted there"}, {"/dev/shm/x", "nothing is mounted there"},
      {"/a/1", "not to be mounted on"},          {"/a", "not a directory"},
      {"/c/d/x", "nothing is mounted there"},    {"/b/proc", "something is mounted there"},
      {"/", "nothing is mounted there"},         {"/c/../proc", "not written plainly"},
  };
  for (const Bad& bad : cases) {
    Ran ran = Mount({"add", id, Path("source"), bad.target, "--create"});
    EXPECT_EQ(ran.status, 1) << bad.target;
    EXPECT_THAT(ran.err, HasSubstr(bad.message)) << bad.target;
  }
  // Within the container they lead where they lead the container's own processes.
  ExpectOk(Mount({"add", id, Path("source"), "/b/c/new", "--create"}));
  EXPECT_EQ(container->Exec("cat /c/new/file").out, "content");
  EXPECT_FALSE(std::filesystem::exists("/c/new"));
}

TEST_F(AddedMounts, OfAReadOnlyRoot) {
  auto container = Start([](Bundle& bundle) {
    bundle.config()["root"]["readonly"] = true;
    MakeDirectory(bundle.rootfs() + "/mnt");
  });
  Ran ran = Mount({"add", container->id(), Path("source"), "/new", "--create"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("Read-only file system"));
  ExpectOk(Mount({"add", container->id(), Path("source"), "/mnt"}));
  EXPECT_EQ(container->Exec("cat /mnt/file").out, "content");
}

TEST_F(AddedMounts, WhatAMountAllowsChangesAtOnce) {
  auto container = Start([&](Bundle& bundle) { bundle.AddBind(Path("source"), "/data"); });
  const std::string& id = container->id();
  auto set = [&](const std::string& what) { ExpectOk(Mount({"set", id, "/data", what})); };
  auto write = [&] { return container->Exec("echo x > /data/out").err; };
  EXPECT_EQ(write(), "");
  set("read-only=on");
  EXPECT_THAT(write(), HasSubstr("Read-only file system"));
  EXPECT_EQ(container->Exec("cat /data/file").out, "content");
  EXPECT_THAT(Control({"mounts", id}).out, HasSubstr("ro"));
  set("read-only=off");
  EXPECT_EQ(write(), "");
  set("revoked=on");
  EXPECT_THAT(write(), HasSubstr("Permission denied"));
  EXPECT_THAT(container->Exec("cat /data/file").err, HasSubstr("Permission denied"));
  set("revoked=off");
  EXPECT_EQ(container->Exec("cat /data/file").out, "content");

  // Other mounts go on meanwhile.
  set("ops=5/1");
  auto start = steady_clock::now();
  EXPECT_EQ(container->Exec("for i in 1 2 3 4 5 6; do echo $i > /data/limited$i; done").err, "");
  EXPECT_GE(steady_clock::now() - start, milliseconds(1000));
  set("ops=off");
  Ran bad = Mount({"set", id, "/data", "colour=red"});
  EXPECT_EQ(bad.status, 2);
}

TEST_F(AddedMounts, BytesAreLimitedOnOneMountAlone) {
  WriteFile(Path("source/big"), std::string(512 << 10, 'x'));
  auto container = Start([&](Bundle& bundle) { bundle.AddBind(Path("source"), "/free"); });
  const std::string& id = container->id();
  ExpectOk(Mount({"add", id, Path("source"), "/limited", "--create", "-o", "bytes=256K/64K"}));
  auto time = [&](const std::string& path) {
    auto start = steady_clock::now();
    EXPECT_EQ(container->Exec("wc -c < " + path).out, "524288\n");
    return steady_clock::now() - start;
  };
  auto limited = milliseconds(0);
  std::thread slow([&] { limited = std::chrono::duration_cast<milliseconds>(time("/limited/big")); });
  auto free = time("/free/big");
  slow.join();
  EXPECT_GE(limited, milliseconds(1500));
  EXPECT_LT(free, limited);
  ExpectOk(Mount({"remove", id, "/limited"}));
}

// What was opened before.
TEST_F(AddedMounts, OpenFilesFeelAChange) {
  auto container = Start([&](Bundle& bundle) { bundle.AddBind(Path("source"), "/data"); });
  const std::string& id = container->id();
  // So that the files are the plugin's to read.
  ExpectOk(Mount({"set", id, "/data", "passthrough=off"}));
  const std::string inside = "/proc/" + std::to_string(container->pid()) + "/root/data/file";
  int file = open(inside.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(file, 0);
  EXPECT_EQ(pwrite(file, "C", 1, 0), 1);
  ExpectOk(Mount({"set", id, "/data", "read-only=on"}));
  EXPECT_EQ(pwrite(file, "D", 1, 0), -1);
  EXPECT_EQ(errno, EROFS);
  ExpectOk(Mount({"set", id, "/data", "read-only=off", "revoked=on"}));
  EXPECT_EQ(pwrite(file, "D", 1, 0), -1);
  EXPECT_EQ(errno, EACCES);
  char c;
  EXPECT_TRUE(Eventually(kPatience, [&] { return pread(file, &c, 1, 0) == -1; }));
  ExpectOk(Mount({"set", id, "/data", "revoked=off"}));
  EXPECT_EQ(pread(file, &c, 1, 0), 1);
  EXPECT_EQ(c, 'C');
  close(file);
  EXPECT_EQ(ReadFile(Path("source/file")), "Content");
}

// The kernel has looked at everything a moment ago, and need not ask for it.
TEST_F(AddedMounts, ARevocationIsFeltAtOnceByWhoeverWalksIn) {
  auto container = Start([&](Bundle& bundle) { bundle.AddBind(Path("source"), "/data"); });
  const std::string inside = "/proc/" + std::to_string(container->pid()) + "/root/data/file";
  struct stat stat;
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(::stat(inside.c_str(), &stat), 0);
    ExpectOk(Mount({"set", container->id(), "/data", "revoked=on"}));
    EXPECT_EQ(::stat(inside.c_str(), &stat), -1);
    EXPECT_EQ(errno, EACCES);
    ExpectOk(Mount({"set", container->id(), "/data", "revoked=off"}));
  }
}

// How far revoking goes where the kernel reads by itself: a file that is open and passed through stays readable until
// somebody asks for its attributes, and none can be opened any more.
TEST_F(AddedMounts, AFileThatIsPassedThroughOutlivesItsRevocation) {
  WriteFile(Path("source/file"), std::string(1 << 20, 'a'));
  auto container = Start([&](Bundle& bundle) { bundle.AddBind(Path("source"), "/data"); });
  const std::string& id = container->id();
  const std::string inside = "/proc/" + std::to_string(container->pid()) + "/root/data/file";
  int file = open(inside.c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(file, 0);
  char c;
  ASSERT_EQ(pread(file, &c, 1, 0), 1);
  ExpectOk(Mount({"set", id, "/data", "revoked=on"}));
  EXPECT_EQ(open(inside.c_str(), O_RDONLY | O_CLOEXEC), -1);
  EXPECT_EQ(errno, EACCES);
  EXPECT_EQ(pread(file, &c, 1, 0), 1) << "the kernel's own business";
  struct stat stat;
  EXPECT_TRUE(Eventually(kPatience, [&] { return fstat(file, &stat) == -1; }));
  EXPECT_EQ(errno, EIO);
  EXPECT_EQ(pread(file, &c, 1, 0), -1);
  EXPECT_EQ(errno, EIO);
  close(file);
  ExpectOk(Mount({"set", id, "/data", "revoked=off"}));
}

}  // namespace
}  // namespace lisafs::tests
