// What containers do with files under runsc, compared with the same under runc and with what is on the host afterwards.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <nlohmann/json.hpp>

#include "base/fd.h"
#include "tests/runsc/runsc_host.h"

namespace lisafs::tests {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

// Uses the directory it is given in many ways, and says what it found.
constexpr char kWorkload[] = R"(
set -e
use() {
  mkdir -p $1/dir/sub; cd $1/dir
  echo one > file; echo two >> file; cat file
  for i in $(seq 1 150); do echo $i > sub/$i; done
  ls sub | wc -l; cat sub/* | sort -n | tail -1; ls sub | sort | head -3
  mv file renamed; mv sub/7 seven; [ ! -e file ] && cat renamed seven
  rm sub/1?; ls sub | wc -l
  ln -s renamed link; cat link; readlink link; ln -s /nowhere dangling; [ ! -e dangling ] && [ -L dangling ] && echo dangles
  ln renamed hard; echo three >> hard; tail -1 renamed; stat -c %h renamed
  chmod 640 renamed; chown 1000:1001 renamed; stat -c '%a %u %g' renamed; stat -c %s hard
  dd if=/dev/zero of=big bs=64k count=40 2>/dev/null; stat -c %s big; truncate -s 100 big; stat -c %s big
  printf 'x' | dd of=big bs=1 seek=50 conv=notrunc 2>/dev/null; tail -c 50 big | head -c 1; echo
  touch -d '2020-02-02 02:02:02' renamed; stat -c %Y renamed
  mkdir empty; rmdir empty; rmdir sub 2>/dev/null || echo not empty
  cp /bin/busybox busybox; ./busybox echo a program; cmp busybox /bin/busybox; rm busybox
  (exec 3> unlinked; rm unlinked; echo still >&3; echo written)
  find . | sort | wc -l
}
use /work
use /data
cat /etc/one-file; cat /ro/file
(echo x > /ro/new) 2>/dev/null || echo read-only
(rm /ro/file) 2>/dev/null || echo read-only
(echo x > /ro/file) 2>/dev/null || echo read-only
[ -S /socket ] && echo a socket
pwd; cat /data/link-out 2>/dev/null || echo nothing outside
)";

class Workload : public RunscHost {
 protected:
  // With every kind of mount, and what is on the host behind them below `name`.
  Bundle MakeBundle(const std::string& name) {
    Bundle bundle = BusyboxBundle(name);
    for (const char* directory : {"data", "ro"}) MakeDirectory(bundle.path() + "/" + directory);
    WriteFile(bundle.path() + "/ro/file", "read me\n");
    WriteFile(bundle.path() + "/one-file", "one file\n");
    bundle.AddBind(bundle.path() + "/data", "/data");
    bundle.AddBind(bundle.path() + "/ro", "/ro", {"ro"});
    bundle.AddBind(bundle.path() + "/one-file", "/etc/one-file");
    EXPECT_EQ(symlink("../one-file", (bundle.path() + "/data/link-out").c_str()), 0);

    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    std::string path = bundle.path() + "/socket";
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0) << path;
    bundle.AddBind(path, "/socket");
    bundle.SetScript(kWorkload);
    return bundle;
  }
};

TEST_P(Workload, IsAsUnderRunc) {
  Bundle bundle = MakeBundle("runsc");
  Ran on_runsc = RunContainer(bundle, Id("runsc"));
  ASSERT_TRUE(on_runsc.ok()) << on_runsc;

  SetRuntimeFlags({});
  Ran on_runc = RunContainer(MakeBundle("runc"), Id("runc"));
  ASSERT_TRUE(on_runc.ok()) << on_runc;
  EXPECT_EQ(on_runsc.out, on_runc.out);

  // What the container wrote is on the host, but for an overlaid root.
  for (const std::string& directory : {std::string("data"), std::string("rootfs/work")}) {
    std::string there = bundle.path() + "/" + directory + "/dir";
    if (GetParam().overlay && directory != "data") {
      EXPECT_THAT(ListDirectory(there), SizeIs(0));
      continue;
    }
    EXPECT_EQ(ReadFile(there + "/renamed"), "one\ntwo\nthree\n");
    EXPECT_THAT(ListDirectory(there + "/sub"), SizeIs(139));
    struct stat file;
    ASSERT_EQ(stat((there + "/hard").c_str(), &file), 0) << there;
    EXPECT_EQ(file.st_uid, 1000u);
    EXPECT_EQ(file.st_gid, 1001u);
    EXPECT_EQ(file.st_mode & 07777, 0640u);
    EXPECT_EQ(file.st_nlink, 2u);
    EXPECT_EQ(file.st_mtime, 1580608922);
  }
  EXPECT_EQ(ReadFile(bundle.path() + "/ro/file"), "read me\n");
}

// A root that is read-only in config.json; mount points that are missing there, and one in a bind mount, behind a link.
TEST_P(Workload, MountPointsAreMade) {
  Bundle bundle = BusyboxBundle("bundle");
  MakeDirectory(Path("outer"));
  MakeDirectory(Path("inner"));
  WriteFile(Path("inner/file"), "inside\n");
  ASSERT_EQ(symlink("/new/outer", (bundle.rootfs() + "/link").c_str()), 0);
  bundle.config()["root"]["readonly"] = true;
  bundle.AddBind(Path("outer"), "/new/outer");
  bundle.AddBind(Path("inner"), "/link/deep/inner");
  bundle.SetScript("cat /new/outer/deep/inner/file; echo x > /new/outer/mine; echo x > /new/not-mine || echo refused");
  Ran ran = RunContainer(bundle, Id("points"));
  ASSERT_TRUE(ran.ok()) << ran;
  // Under an overlay the sentry writes to a root that is read-only for the container all the same.
  EXPECT_EQ(ran.out, "inside\nrefused\n") << ran;
  EXPECT_EQ(ReadFile(Path("outer/mine")), "x\n");
  EXPECT_FALSE(ReadFile(bundle.rootfs() + "/new/not-mine"));
}

INSTANTIATE_TEST_SUITE_P(, Workload, testing::ValuesIn(AllRunscModes()), RunscModeName);

}  // namespace
}  // namespace lisafs::tests
