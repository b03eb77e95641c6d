// Small containers: what a shell script sees of a root on LISAFS.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/containers/host.h"

namespace lisafs::tests {
namespace {

using testing::HasSubstr;
using testing::Not;

class Shell : public Host {
 protected:
  Ran RunScript(const std::string& script) {
    Bundle bundle = BusyboxBundle("bundle");
    bundle.SetScript(script);
    return RunContainer(bundle, Id("shell"));
  }
};

TEST_F(Shell, RunsToTheEndAndGivesItsStatus) {
  Ran ran = RunScript("echo hello; echo trouble >&2; exit 7");
  EXPECT_EQ(ran.status, 7) << ran;
  EXPECT_EQ(ran.out, "hello\n");
  EXPECT_EQ(ran.err, "trouble\n");
}

// A low-level runtime that finds somebody in the container's cgroups says so, and waits.
TEST_F(Shell, EndsWithoutAWordFromTheRuntime) {
  Bundle bundle = BusyboxBundle("bundle");
  bundle.SetScript("cat /etc/* > /dev/null 2>&1; echo done");
  for (int i = 0; i < 20; i++) {
    Ran ran = RunContainer(bundle, Id("ends" + std::to_string(i)));
    EXPECT_EQ(ran.status, 0) << ran;
    EXPECT_EQ(ran.out, "done\n");
    EXPECT_EQ(ran.err, "");
  }
}

TEST_F(Shell, WorksOnFiles) {
  Bundle bundle = BusyboxBundle("bundle");
  bundle.SetScript(R"sh(
    set -e
    mkdir -p work/a/b && cd work
    for i in $(seq 200); do echo "line $i" >> a/lines; done
    cp a/lines a/b/copy && cmp a/lines a/b/copy
    mv a/b/copy a/moved && ! test -e a/b/copy
    ln -s moved a/link && test "$(readlink a/link)" = moved && cmp a/link a/lines
    ln a/moved a/hard && test "$(stat -c %h a/moved)" = 2
    chown 1000:1000 a/hard && test "$(stat -c %u:%g a/moved)" = 1000:1000
    chmod 4750 a/hard && test "$(stat -c %a a/moved)" = 4750
    touch -d @1000000000 a/lines && test "$(stat -c %Y a/lines)" = 1000000000
    dd if=/dev/zero of=zeros bs=1M count=8 2>/dev/null && test "$(stat -c %s zeros)" = 8388608
    truncate -s 100 zeros && test "$(wc -c < zeros)" = 100
    mkfifo pipe && { echo through > pipe & } && test "$(cat pipe)" = through && rm pipe
    exec 3> unlinked && rm unlinked && echo gone >&3 && exec 3>&-
    grep -q 'line 150' a/lines && sed -i 's/line/row/' a/lines && tail -n 1 a/lines
    find . | sort | tr '\n' ' '
    rm zeros; rm -r a/b; ! rmdir a 2> /dev/null
  )sh");
  Ran ran = RunContainer(bundle, Id("files"));
  ASSERT_EQ(ran.status, 0) << ran;
  EXPECT_EQ(ran.out, "row 200\n. ./a ./a/b ./a/hard ./a/lines ./a/link ./a/moved ./zeros ");
  // The host sees the same.
  struct stat hard;
  ASSERT_EQ(stat((bundle.rootfs() + "/work/a/hard").c_str(), &hard), 0);
  EXPECT_EQ(hard.st_nlink, 2u);
  EXPECT_EQ(hard.st_uid, 1000u);
  EXPECT_EQ(ListDirectory(bundle.rootfs() + "/work/a"), (std::vector<std::string>{"hard", "lines", "link", "moved"}));
}

TEST_F(Shell, SeesWhatTheHostChanges) {
  Bundle bundle = BusyboxBundle("bundle");
  WriteFile(bundle.rootfs() + "/note", "first");
  bundle.config()["annotations"]["dev.lisafs.cache"] = "shared";
  bundle.SetScript("sleep 1000");
  Container container(*this, bundle, Id("host-changes"));
  EXPECT_EQ(container.Exec("cat /note; ls /tmp").out, "first");
  WriteFile(bundle.rootfs() + "/note", "second, and longer");
  WriteFile(bundle.rootfs() + "/tmp/new", "");
  EXPECT_TRUE(Eventually(
      kPatience, [&] { return container.Exec("cat /note; echo; ls /tmp").out == "second, and longer\nnew\n"; }));
}

TEST_F(Shell, RootIsLisafsAndItsHostPathIsNowhere) {
  if (PlainRuntime()) GTEST_SKIP() << "without LISAFS";
  Ran ran = RunScript("cat /proc/self/mountinfo");
  ASSERT_TRUE(ran.ok()) << ran;
  EXPECT_THAT(ran.out, testing::ContainsRegex("[0-9]+ [0-9]+ [0-9:]+ / / [^\n]* - fuse.lisafs lisafs "));
  EXPECT_THAT(ran.out, Not(HasSubstr(Path("bundle"))));
  EXPECT_THAT(ran.out, Not(HasSubstr("/run/lisafs")));
}

TEST_F(Shell, ChecksPermissions) {
  Bundle bundle = BusyboxBundle("bundle");
  WriteFile(bundle.rootfs() + "/etc/secret", "secret", 0600);
  MakeDirectory(bundle.rootfs() + "/closed", 0700);
  WriteFile(bundle.rootfs() + "/closed/file", "inside");
  WriteFile(bundle.rootfs() + "/tmp/others", "other", 0644);
  bundle.config()["process"]["user"] = {{"uid", 1000}, {"gid", 1000}};
  bundle.config()["process"].erase("capabilities");
  bundle.SetScript(R"sh(
    cat /etc/secret; cat /closed/file; echo x > /etc/new; rm /tmp/others; chown 0 /tmp/mine
    echo mine > /tmp/mine && cat /tmp/mine && stat -c '%u:%g %a' /tmp/mine && chown 0 /tmp/mine
    cat /tmp/others
  )sh");
  Ran ran = RunContainer(bundle, Id("permissions"));
  EXPECT_EQ(ran.out, "mine\n1000:1000 644\nother") << ran;
  EXPECT_THAT(ran.err, HasSubstr("/etc/secret': Permission denied"));
  EXPECT_THAT(ran.err, HasSubstr("/closed/file': Permission denied"));
  EXPECT_THAT(ran.err, HasSubstr("/etc/new: Permission denied"));
  EXPECT_THAT(ran.err, HasSubstr("'/tmp/others': Operation not permitted"));
  EXPECT_THAT(ran.err, HasSubstr("/tmp/mine: Operation not permitted"));
}

TEST_F(Shell, ReadOnlyRootRefusesEveryChange) {
  Bundle bundle = BusyboxBundle("bundle");
  WriteFile(bundle.rootfs() + "/tmp/file", "text");
  bundle.config()["root"]["readonly"] = true;
  bundle.SetScript(
      "cat /tmp/file; echo x > /tmp/new; rm /tmp/file; chmod 777 /tmp/file; mkdir /d; echo y >> /tmp/file");
  Ran ran = RunContainer(bundle, Id("readonly"));
  EXPECT_EQ(ran.out, "text");
  size_t refused = 0;
  for (size_t at = 0; (at = ran.err.find("Read-only file system", at)) != std::string::npos; at++) refused++;
  EXPECT_EQ(refused, 5u) << ran;
  EXPECT_EQ(ReadFile(bundle.rootfs() + "/tmp/file"), "text");
  EXPECT_TRUE(ListDirectory(bundle.rootfs() + "/tmp") == std::vector<std::string>{"file"});
}

TEST_F(Shell, MakesMountPointsThatTheImageLacks) {
  Bundle bundle = BusyboxBundle("bundle");
  for (const char* name : {"/dev", "/proc", "/sys"}) ASSERT_EQ(rmdir((bundle.rootfs() + name).c_str()), 0);
  MakeDirectory(Path("data"));
  WriteFile(Path("data/file"), "data");
  WriteFile(Path("single"), "single");
  bundle.AddBind(Path("data"), "/not/there/yet");
  bundle.AddBind(Path("single"), "/neither/is/this");
  bundle.config()["root"]["readonly"] = true;
  bundle.SetScript("cat /not/there/yet/file /neither/is/this; test -c /dev/null && test -d /proc/1 && test -d /sys/fs");
  Ran ran = RunContainer(bundle, Id("mount-points"));
  EXPECT_TRUE(ran.ok()) << ran;
  EXPECT_EQ(ran.out, "datasingle");
}

TEST_F(Shell, UserNamespaceMapsOwners) {
  Bundle bundle = BusyboxBundle("bundle");
  ASSERT_TRUE(RunProgram({"chown", "-R", "-h", "100000:100000", bundle.rootfs()}).ok());
  ASSERT_EQ(chmod(Path("").c_str(), 0711), 0);  // So that somebody else can reach the root.
  WriteFile(bundle.rootfs() + "/hosts", "the host's", 0600);
  auto& config = bundle.config()["linux"];
  config["namespaces"].push_back({{"type", "user"}});
  for (const char* mappings : {"uidMappings", "gidMappings"}) {
    config[mappings] = {{{"containerID", 0}, {"hostID", 100000}, {"size", 65536}}};
  }
  bundle.SetScript(
      "id -u; stat -c %u:%g /etc /hosts; cat /hosts; echo mine > /tmp/mine; chown 5:6 /tmp/mine; stat -c %u:%g "
      "/tmp/mine");
  Ran ran = RunContainer(bundle, Id("userns"));
  EXPECT_EQ(ran.out, "0\n0:0\n65534:65534\n5:6\n") << ran;
  EXPECT_THAT(ran.err, HasSubstr("/hosts': Permission denied"));
  struct stat mine;
  ASSERT_EQ(stat((bundle.rootfs() + "/tmp/mine").c_str(), &mine), 0);
  EXPECT_EQ(mine.st_uid, 100005u);
  EXPECT_EQ(mine.st_gid, 100006u);
}

TEST_F(Shell, FollowsLinksOnlyInsideItsRoot) {
  WriteFile(Path("outside"), "outside");
  Bundle bundle = BusyboxBundle("bundle");
  ASSERT_EQ(symlink(Path("outside").c_str(), (bundle.rootfs() + "/absolute").c_str()), 0);
  ASSERT_EQ(symlink("../../outside", (bundle.rootfs() + "/relative").c_str()), 0);
  bundle.SetScript("cat /absolute /relative; cd / && ls .. | grep -c '^bin$'; readlink /relative");
  Ran ran = RunContainer(bundle, Id("links"));
  EXPECT_EQ(ran.out, "1\n../../outside\n");
  EXPECT_THAT(ran.err, HasSubstr("No such file or directory"));
}

// Some make a file that others remove at the same time: an open that may create finds or makes one.
TEST_F(Shell, CreationNeverFindsNothing) {
  Bundle bundle = BusyboxBundle("bundle");
  std::filesystem::copy_file(DataFile("tests/containers/probe"), bundle.rootfs() + "/bin/probe");
  bundle.SetScript("for i in 1 2 3 4; do probe create /tmp/file 500 & done; wait");
  Ran ran = RunContainer(bundle, Id("create"));
  EXPECT_TRUE(ran.ok()) << ran;
  EXPECT_EQ(ran.out, "");
}

}  // namespace
}  // namespace lisafs::tests
