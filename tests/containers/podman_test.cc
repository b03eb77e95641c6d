// Podman with lisafs-runtime as its runtime.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "tests/containers/host.h"

namespace lisafs::tests {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;

class Podman : public Host {
 protected:
  void SetUp() override {
    Host::SetUp();
    if (IsSkipped()) return;
    if (!RunProgram({"podman", "--version"}).ok()) GTEST_SKIP() << "podman is not installed";
    // An image, without a registry: a tar of a root.
    MakeBusyboxRoot(Path("image"));
    ASSERT_TRUE(RunProgram({"tar", "-C", Path("image"), "-cf", Path("image.tar"), "."}).ok());
    Import();
  }
  void Import() {
    Ran imported = Command({"import", Path("image.tar"), "busybox"});
    ASSERT_TRUE(imported.ok()) << imported;
  }
  void TearDown() override {
    if (!IsSkipped()) Command({"system", "reset", "--force"});
    Host::TearDown();
  }

  Ran Command(const std::vector<std::string>& arguments) {
    std::vector<std::string> argv = {
        "podman",           "--root", Path("storage"),    "--runroot", Path("run"),        "--tmpdir", Path("tmp"),
        "--storage-driver", driver_,  "--cgroup-manager", "cgroupfs",  "--events-backend", "file"};
    if (auto plain = PlainRuntime()) {
      argv.insert(argv.end(), {"--runtime", *plain});
    } else {
      argv.insert(argv.end(), {"--runtime", Program("lisafs-runtime"), "--runtime-flag", "lisafsd=" + socket()});
    }
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return RunProgram(argv);
  }

  // `podman run` with what this kind of machine asks for.
  Ran RunImage(const std::vector<std::string>& options, const std::vector<std::string>& command) {
    std::vector<std::string> arguments = {"run",      "--network",      "none", "--ulimit", "nofile=1024:1024",
                                          "--ulimit", "nproc=4096:4096"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    arguments.push_back("busybox");
    arguments.insert(arguments.end(), command.begin(), command.end());
    return Command(arguments);
  }

  std::string driver_ = "vfs";
};

TEST_F(Podman, UserNamespaceWithAnIdMappedVolume) {
  MakeDirectory(Path("volume"));
  ASSERT_EQ(chmod(Path("").c_str(), 0711), 0);  // So that somebody else can reach the root.
  Ran ran = RunImage({"--rm", "--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536", "--volume",
                      Path("volume") + ":/volume" + (PlainRuntime() ? "" : ":idmap")},
                     {"sh", "-c", "stat -c %u:%g /etc /volume; echo x > /volume/made && chown 5:6 /volume/made"});
  EXPECT_TRUE(ran.ok()) << ran;
  EXPECT_EQ(ran.out, "0:0\n0:0\n");
  struct stat made;
  ASSERT_EQ(stat(Path("volume/made").c_str(), &made), 0);
  EXPECT_EQ(made.st_uid, 5u);
  EXPECT_EQ(made.st_gid, 6u);
  if (PlainRuntime()) return;
  ASSERT_EQ(chown(Path("volume").c_str(), 2000, 2000), 0);
  ran = RunImage({"--rm", "--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536", "--volume",
                  Path("volume") + ":/volume:idmap=uids=@2000-1-1;gids=2000-100002-1"},
                 {"stat", "-c", "%u:%g", "/volume"});
  EXPECT_EQ(ran.out, "1:2\n") << ran;
}

TEST_F(Podman, UserNamespaceOfItsChoice) {
  // From what the host sets apart for containers: here, in this test's own view of it.
  WriteFile(Path("subids"), "containers:200000:262144\n");
  const char* files[] = {"/etc/subuid", "/etc/subgid"};
  for (const char* file : files) {
    if (mount(Path("subids").c_str(), file, nullptr, MS_BIND, nullptr) != 0) GTEST_SKIP() << "the host has no " << file;
  }
  ASSERT_EQ(chmod(Path("").c_str(), 0711), 0);
  Ran ran = RunImage({"--rm", "--userns=auto:size=65536"},
                     {"sh", "-c",
                      "stat -c %u:%g /etc; echo x > /made && chown 5:6 /made && stat -c %u:%g /made; "
                      "cat /proc/self/uid_map"});
  for (const char* file : files) EXPECT_EQ(umount(file), 0);
  EXPECT_TRUE(ran.ok()) << ran;
  EXPECT_THAT(ran.out, testing::MatchesRegex("0:0\n5:6\n *0 +200000 +65536\n"));
}

TEST_F(Podman, RunsWithAVolume) {
  MakeDirectory(Path("volume"));
  WriteFile(Path("volume/in"), "from the host\n");
  Ran ran = RunImage({"--rm", "--volume", Path("volume") + ":/volume"},
                     {"sh", "-c", "cat /volume/in; echo from the container > /volume/out; cat /proc/self/mountinfo"});
  ASSERT_TRUE(ran.ok()) << ran;
  EXPECT_THAT(ran.out, HasSubstr("from the host\n"));
  if (!PlainRuntime()) {
    EXPECT_THAT(ran.out, HasSubstr(" - fuse.lisafs lisafs "));
  }
  EXPECT_EQ(ReadFile(Path("volume/out")), "from the container\n");
  EXPECT_EQ(Command({"ps", "--all", "--quiet"}).out, "");
}

TEST_F(Podman, GivesTheStatusOfTheContainer) {
  Ran ran = RunImage({"--rm"}, {"sh", "-c", "echo trouble >&2; exit 9"});
  EXPECT_EQ(ran.status, 9) << ran;
  EXPECT_THAT(ran.err, HasSubstr("trouble\n"));
}

// The kernel reads and writes what is on the container's layers by itself.
TEST_F(Podman, FilesOnAnOverlayArePassedThrough) {
  if (PlainRuntime()) GTEST_SKIP() << "is about lisafs alone";
  Command({"system", "reset", "--force"});
  driver_ = "overlay";
  ASSERT_NO_FATAL_FAILURE(Import());
  Ran started = RunImage({"--detach", "--name", "worker"}, {"sh", "-c", "while :; do sleep 0.1; done"});
  ASSERT_TRUE(started.ok()) << started;
  ASSERT_TRUE(Command({"exec", "worker", "sh", "-c", "seq 100000 > /made"}).ok());
  // What is not passed through is counted as data.
  auto data = [&] {
    const std::string statistics = Control({"stats"}).out;
    EXPECT_THAT(statistics, HasSubstr("OpenBacking"));
    std::string lines;
    for (const char* message : {"\nPRead ", "\nPWrite "}) {
      const size_t begin = statistics.find(message);
      if (begin != std::string::npos) lines += statistics.substr(begin, statistics.find('\n', begin + 1) - begin);
    }
    return lines;
  };
  // The kernel may want its memory back, and then reads the small files again that are not passed through.
  std::string before = "nothing", after;
  for (int i = 0; i < 5 && after != before; ++i) {
    before = data();
    Ran executed = Command(
        {"exec", "worker", "sh", "-c", "dd if=/made of=/made bs=1k count=1 conv=notrunc; md5sum < /made; mount"});
    ASSERT_TRUE(executed.ok()) << executed;
    EXPECT_THAT(executed.out, HasSubstr("dea9193b768319cbb4ff1a137ac03113  -\n"));
    EXPECT_THAT(executed.out, HasSubstr("lisafs on / type fuse.lisafs"));
    after = data();
  }
  EXPECT_EQ(after, before);
  Ran removed = Command({"rm", "--force", "--time", "1", "worker"});
  EXPECT_TRUE(removed.ok()) << removed;
}

TEST_F(Podman, ReadOnlyVolumeAndRoot) {
  MakeDirectory(Path("volume"));
  Ran ran = RunImage({"--rm", "--read-only", "--volume", Path("volume") + ":/volume:ro,noexec"},
                     {"sh", "-c", "echo x > /volume/new; echo x > /etc/new; hostname"});
  EXPECT_THAT(ran.err, HasSubstr("/volume/new: Read-only file system"));
  EXPECT_THAT(ran.err, HasSubstr("/etc/new: Read-only file system"));
  EXPECT_TRUE(ListDirectory(Path("volume")).empty());
}

TEST_F(Podman, ExecStopAndRemove) {
  Ran started = RunImage({"--detach", "--name", "worker", "--stop-timeout", "1"},
                         {"sh", "-c", "trap 'echo stopping; exit 3' TERM; echo up; while :; do sleep 0.1; done"});
  ASSERT_TRUE(started.ok()) << started;
  EXPECT_TRUE(Eventually(kPatience, [&] { return Command({"logs", "worker"}).out == "up\n"; }));
  Ran executed = Command({"exec", "worker", "sh", "-c", "echo made > /made; cat /made; exit 4"});
  EXPECT_EQ(executed.status, 4) << executed;
  EXPECT_EQ(executed.out, "made\n");
  EXPECT_TRUE(Command({"pause", "worker"}).ok());
  EXPECT_TRUE(Command({"unpause", "worker"}).ok());
  Ran stopped = Command({"stop", "--time", "50", "worker"});
  EXPECT_TRUE(stopped.ok()) << stopped;
  EXPECT_EQ(Command({"logs", "worker"}).out, "up\nstopping\n");
  EXPECT_EQ(Command({"inspect", "--format", "{{.State.ExitCode}}", "worker"}).out, "3\n");

  // It starts again with what it wrote.
  Ran again = Command({"start", "worker"});
  ASSERT_TRUE(again.ok()) << again;
  EXPECT_EQ(Command({"exec", "worker", "cat", "/made"}).out, "made\n");
  Ran removed = Command({"rm", "--force", "--time", "1", "worker"});
  EXPECT_TRUE(removed.ok()) << removed;
}

}  // namespace
}  // namespace lisafs::tests
