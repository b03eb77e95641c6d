// Bind mounts: each on a LISAFS mount of its own, with its options enforced.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>

#include "base/fd.h"
#include "tests/containers/host.h"

namespace lisafs::tests {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

class Mounts : public Host {
 protected:
  // A directory with a file, a set-user-id program, a program and a device.
  std::string SourceDirectory() {
    std::string path = Path("source");
    MakeDirectory(path);
    WriteFile(path + "/file", "content");
    std::filesystem::copy_file(DataFile("tests/containers/probe"), path + "/probe");
    EXPECT_EQ(chmod((path + "/probe").c_str(), 04755), 0);
    EXPECT_EQ(mknod((path + "/null").c_str(), S_IFCHR | 0666, makedev(1, 3)), 0);
    EXPECT_EQ(chmod((path + "/null").c_str(), 0666), 0);
    return path;
  }

  // What an ordinary user sees of it at /data, mounted with these options.
  Ran UseSource(std::vector<std::string> options, bool as_root = false) {
    Bundle bundle = BusyboxBundle("bundle");
    bundle.AddBind(SourceDirectory(), "/data", options);
    if (!as_root) bundle.config()["process"]["user"] = {{"uid", 1000}, {"gid", 1000}};
    bundle.SetScript("cat /data/file && echo; echo x > /data/new; /data/probe euid; cat /data/null && echo device");
    return RunContainer(bundle, Id("options"));
  }
};

TEST_F(Mounts, WithoutOptionsForbidNothing) {
  Ran ran = UseSource({});
  EXPECT_THAT(ran.err, HasSubstr("/data/new: Permission denied"));  // The directory is root's.
  EXPECT_EQ(ran.out, "content\n0\ndevice\n") << ran;

  std::filesystem::remove_all(Path("source"));
  std::filesystem::remove_all(Path("bundle"));
  EXPECT_EQ(UseSource({}, /*as_root=*/true).out, "content\n0\ndevice\n");
  EXPECT_EQ(ReadFile(Path("source/new")), "x\n");
}

TEST_F(Mounts, ReadOnlyIsEnforced) {
  Ran ran = UseSource({"ro"}, /*as_root=*/true);
  EXPECT_EQ(ran.out, "content\n0\ndevice\n");
  EXPECT_THAT(ran.err, HasSubstr("/data/new: Read-only file system"));
  EXPECT_FALSE(ReadFile(Path("source/new")).has_value());
}

TEST_F(Mounts, NosuidIsEnforced) { EXPECT_EQ(UseSource({"nosuid"}).out, "content\n1000\ndevice\n"); }

TEST_F(Mounts, NodevIsEnforced) {
  Ran ran = UseSource({"nodev"});
  EXPECT_EQ(ran.out, "content\n0\n");
  EXPECT_THAT(ran.err, HasSubstr("/data/null': Permission denied"));
}

TEST_F(Mounts, NoexecIsEnforced) {
  Ran ran = UseSource({"noexec"});
  EXPECT_EQ(ran.out, "content\ndevice\n");
  EXPECT_THAT(ran.err, HasSubstr("/data/probe: Permission denied"));
}

TEST_F(Mounts, SingleFiles) {
  WriteFile(Path("resolv.conf"), "nameserver 192.0.2.1\n");
  WriteFile(Path("hosts"), "127.0.0.1 localhost\n");
  Bundle bundle = BusyboxBundle("bundle");
  bundle.AddBind(Path("resolv.conf"), "/etc/resolv.conf", {"ro"});
  bundle.AddBind(Path("hosts"), "/etc/hosts");
  bundle.SetScript(R"sh(
    cat /etc/resolv.conf
    echo 'nameserver 0.0.0.0' > /etc/resolv.conf
    echo '192.0.2.2 other' >> /etc/hosts && cat /etc/hosts
    grep ' /etc/' /proc/self/mountinfo
  )sh");
  Ran ran = RunContainer(bundle, Id("files"));
  EXPECT_THAT(ran.out, HasSubstr("nameserver 192.0.2.1\n127.0.0.1 localhost\n192.0.2.2 other\n"));
  EXPECT_THAT(ran.err, HasSubstr("/etc/resolv.conf: Read-only file system"));
  EXPECT_EQ(ReadFile(Path("hosts")), "127.0.0.1 localhost\n192.0.2.2 other\n");
  if (PlainRuntime()) return;
  EXPECT_THAT(ran.out, ContainsRegex(" /etc/resolv.conf ro[^\n]* - fuse.lisafs "));
  EXPECT_THAT(ran.out, ContainsRegex(" /etc/hosts rw[^\n]* - fuse.lisafs "));
  EXPECT_THAT(ran.out, Not(HasSubstr(Path(""))));
}

TEST_F(Mounts, RecursiveBindShowsSubmounts) {
  MakeDirectory(Path("tree/below"));
  ASSERT_EQ(mount("tmpfs", Path("tree/below").c_str(), "tmpfs", 0, nullptr), 0) << strerror(errno);
  WriteFile(Path("tree/below/file"), "in the submount");
  Bundle bundle = BusyboxBundle("bundle");
  bundle.AddBind(Path("tree"), "/with", {"rbind"});
  bundle.AddBind(Path("tree"), "/without");
  bundle.SetScript("cat /with/below/file && echo; ls -A /without/below; echo new > /with/below/new");
  Ran ran = RunContainer(bundle, Id("rbind"));
  EXPECT_EQ(ran.out, "in the submount\n") << ran;
  EXPECT_EQ(ReadFile(Path("tree/below/new")), "new\n");
}

TEST_F(Mounts, ReadOnlyReachesSubmounts) {
  if (PlainRuntime()) GTEST_SKIP() << "without LISAFS: a plain bind mount leaves submounts writable";
  MakeDirectory(Path("tree/below"));
  ASSERT_EQ(mount("tmpfs", Path("tree/below").c_str(), "tmpfs", 0, nullptr), 0) << strerror(errno);
  Bundle bundle = BusyboxBundle("bundle");
  bundle.AddBind(Path("tree"), "/data", {"rbind", "ro"});
  bundle.SetScript("echo x > /data/below/new");
  Ran ran = RunContainer(bundle, Id("rbind-ro"));
  EXPECT_THAT(ran.err, HasSubstr("Read-only file system"));
  EXPECT_TRUE(ListDirectory(Path("tree/below")).empty());
}

TEST_F(Mounts, OneInsideAnother) {
  MakeDirectory(Path("outer/inner"));
  MakeDirectory(Path("other"));
  WriteFile(Path("outer/file"), "outer ");
  WriteFile(Path("other/file"), "inner");
  Bundle bundle = BusyboxBundle("bundle");
  bundle.AddBind(Path("outer"), "/data");
  bundle.AddBind(Path("other"), "/data/inner", {"ro"});
  bundle.SetScript(
      "cat /data/file /data/inner/file; mv /data/file /data/inner/ 2>/dev/null || mv /data/file /data/moved");
  Ran ran = RunContainer(bundle, Id("nested"));
  EXPECT_EQ(ran.out, "outer inner") << ran;
  EXPECT_EQ(ReadFile(Path("outer/moved")), "outer ");
}

TEST_F(Mounts, SourceThroughASymlink) {
  MakeDirectory(Path("real"));
  WriteFile(Path("real/file"), "real");
  std::filesystem::create_symlink("real", Path("link"));
  Bundle bundle = BusyboxBundle("bundle");
  bundle.AddBind(Path("link"), "/data");
  bundle.SetScript("cat /data/file");
  EXPECT_EQ(RunContainer(bundle, Id("symlink")).out, "real");
}

TEST_F(Mounts, SocketsAndDevicesStayBindMounts) {
  Fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", Path("socket").c_str());
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0) << strerror(errno);
  Bundle bundle = BusyboxBundle("bundle");
  bundle.AddBind(Path("socket"), "/run/socket");
  bundle.AddBind("/dev/zero", "/dev/nothing");
  bundle.SetScript("test -S /run/socket && head -c 3 /dev/nothing | wc -c");
  Ran ran = RunContainer(bundle, Id("specials"));
  EXPECT_EQ(ran.out, "3\n") << ran;
}

// A known limit, which docs/operations.md states: the kernel keeps the locks, and knows one mount from another.
TEST_F(Mounts, LocksHoldAmongTheProcessesOfOneContainer) {
  if (PlainRuntime()) GTEST_SKIP() << "without LISAFS: locks are the host's";
  MakeDirectory(Path("shared"));
  Bundle one = BusyboxBundle("one"), two = BusyboxBundle("two");
  for (Bundle* bundle : {&one, &two}) {
    std::filesystem::copy_file(DataFile("tests/containers/probe"), bundle->rootfs() + "/bin/probe");
    bundle->AddBind(Path("shared"), "/shared");
    bundle->SetScript("exec probe lock /shared/file");
  }
  Container container(*this, one, Id("one")), other(*this, two, Id("two"));
  ASSERT_TRUE(Eventually(kPatience, [&] { return container.out() == "locked\n"; })) << container.out();
  EXPECT_EQ(container.Exec("probe lock /shared/file").out, "taken\n");
  EXPECT_TRUE(Eventually(kPatience, [&] { return other.out() == "locked\n"; })) << other.out();
}

TEST_F(Mounts, SeparateMountsOfOneDirectoryAreCoherent) {
  MakeDirectory(Path("shared"));
  Bundle bundle = BusyboxBundle("bundle");
  bundle.AddBind(Path("shared"), "/one");
  bundle.AddBind(Path("shared"), "/two");
  bundle.SetScript("echo first > /one/file; cat /two/file; echo and more >> /two/file; sleep 1.1; cat /one/file");
  EXPECT_EQ(RunContainer(bundle, Id("twice")).out, "first\nfirst\nand more\n");
}

}  // namespace
}  // namespace lisafs::tests
