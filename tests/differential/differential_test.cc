// Whatever programs do to files in a container on lisafs gives what it gives on the host's file system itself: results,
// errnos, attributes, and the tree that is left. docs/differences.md lists what cannot be helped; the scenarios leave
// it out.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <numeric>
#include <sstream>

#include "base/fd.h"
#include "tests/containers/host.h"

namespace lisafs::tests {
namespace {

using std::chrono::minutes;

constexpr char kActor[] = "tests/differential/actor";

// Types, modes, links, owners, times that were set, targets and contents below a directory, as the host sees them.
std::string Tree(const std::string& path) {
  Ran ran = RunProgram({"sh", "-c",
                        "find . -printf '%P %y %m %n %U:%G %l\\n' | LC_ALL=C sort; "
                        "find . -type f -exec sha256sum {} + | LC_ALL=C sort -k 2; "
                        "getfattr -R -P -d -m - . 2>/dev/null || true"},
                       {.directory = path, .timeout = minutes(2)});
  EXPECT_TRUE(ran.ok()) << ran;
  return ran.out;
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// How two outputs differ; empty if they do not.
std::string Difference(const std::string& host, const std::string& container) {
  if (host == container) return "";
  TempDir files;
  WriteFile(files / "host", host);
  WriteFile(files / "container", container);
  return RunProgram({"diff", "-U", "5", "host", "container"}, {.directory = files.path()}).out.substr(0, 6000);
}

// What each scenario of a group said: its lines from "== NAME" on.
std::vector<std::pair<std::string, std::string>> ByScenario(const std::string& out) {
  std::vector<std::pair<std::string, std::string>> all;
  for (const std::string& line : Lines(out)) {
    if (line.starts_with("== ")) all.push_back({line, ""});
    if (!all.empty()) all.back().second += line + "\n";
  }
  return all;
}

class Differential : public Host {
 protected:
  void SetUp() override {
    Host::SetUp();
    if (IsSkipped()) return;
    bundle_.emplace(BusyboxBundle("bundle"));
    Install(*bundle_);
  }

  static void Install(Bundle& bundle) {
    std::filesystem::copy_file(DataFile(kActor), bundle.rootfs() + "/bin/actor");
    bundle.SetScript("sleep 10000");
  }

  // Runs the actor's command in `host`, and in the container in the directory that it calls /NAME.
  void Compare(const Container& container, const std::string& host, const std::string& inside_name,
               const std::vector<std::string>& before, const std::vector<std::string>& after = {}) {
    auto command = [&](const std::string& program, const std::string& directory) {
      std::vector<std::string> all = {program};
      all.insert(all.end(), before.begin(), before.end());
      all.push_back(directory);
      all.insert(all.end(), after.begin(), after.end());
      return all;
    };
    Ran outside = RunProgram(command(DataFile(kActor), host), {.timeout = minutes(5)});
    ASSERT_TRUE(outside.ok()) << outside;
    Ran inside = container.ExecCommand(command("/bin/actor", inside_name), {.timeout = minutes(10)});
    ASSERT_TRUE(inside.ok()) << inside.status << inside.err << Difference(outside.out, inside.out);
    host_said_ = outside.out;
    container_said_ = inside.out;
  }

  // One group of scenarios.
  void CompareGroup(const std::string& group, const std::string& host, const Container& container,
                    const std::string& container_on_host, const std::string& inside_name) {
    Compare(container, host, inside_name, {"scenarios", group});
    if (HasFatalFailure()) return;
    auto outside = ByScenario(host_said_), inside = ByScenario(container_said_);
    ASSERT_EQ(outside.size(), inside.size());
    ASSERT_GT(outside.size(), 1u);
    for (size_t i = 0; i < outside.size(); ++i) {
      std::string difference = Difference(outside[i].second, inside[i].second);
      EXPECT_TRUE(difference.empty()) << outside[i].first << "\n" << difference;
    }
    std::string difference = Difference(Tree(host), Tree(container_on_host));
    EXPECT_TRUE(difference.empty()) << "the trees that are left:\n" << difference;
  }

  void CompareGroup(const std::string& group) {
    MakeDirectory(Path("work"), 0777);
    MakeDirectory(bundle_->rootfs() + "/work", 0777);
    Container container(*this, *bundle_, Id(group));
    CompareGroup(group, Path("work"), container, bundle_->rootfs() + "/work", "/work");
  }

  // Makes these of a seed's calls in both places; what differs.
  std::string RandomDifference(const Container& container, int seed, const std::vector<int>& steps) {
    std::string name = "random" + std::to_string(++attempts_);
    const std::string directories[] = {Path(name), bundle_->rootfs() + "/" + name};
    for (const std::string& directory : directories) MakeDirectory(directory, 0777);
    std::vector<std::string> numbers;
    for (int step : steps) numbers.push_back(std::to_string(step));
    Compare(container, directories[0], "/" + name, {"random", std::to_string(seed), "0"}, numbers);
    if (HasFatalFailure()) return "it could not run";
    std::string difference = Difference(host_said_, container_said_);
    if (difference.empty()) difference = Difference(Tree(directories[0]), Tree(directories[1]));
    for (const std::string& directory : directories) std::filesystem::remove_all(directory);
    return difference;
  }

  // As few of the calls as still differ: leaves out ever smaller pieces.
  std::vector<int> Shrunk(const Container& container, int seed, std::vector<int> steps) {
    for (size_t piece = steps.size() / 2; piece > 0; piece /= 2) {
      for (size_t at = 0; at < steps.size();) {
        std::vector<int> fewer = steps;
        fewer.erase(fewer.begin() + static_cast<ptrdiff_t>(at),
                    fewer.begin() + static_cast<ptrdiff_t>(std::min(at + piece, steps.size())));
        if (!fewer.empty() && !RandomDifference(container, seed, fewer).empty()) {
          steps = fewer;
        } else {
          at += piece;
        }
      }
    }
    return steps;
  }

  std::optional<Bundle> bundle_;
  int attempts_ = 0;
  std::string host_said_, container_said_;
};

TEST_F(Differential, Open) { CompareGroup("open"); }
TEST_F(Differential, Names) { CompareGroup("names"); }
TEST_F(Differential, Attributes) { CompareGroup("attributes"); }
TEST_F(Differential, Acls) { CompareGroup("acls"); }
TEST_F(Differential, Data) { CompareGroup("data"); }
TEST_F(Differential, Mappings) { CompareGroup("mappings"); }
TEST_F(Differential, Locks) { CompareGroup("locks"); }
TEST_F(Differential, Programs) { CompareGroup("programs"); }

// Where 100,000 files are already.
TEST_F(Differential, Directories) {
  for (const std::string& work : {Path("work"), bundle_->rootfs() + "/work"}) {
    MakeDirectory(work, 0777);
    MakeDirectory(work + "/huge");
    MakeDirectory(work + "/huge/dir");
    Ran ran = RunProgram({DataFile(kActor), "many", "100000", work + "/huge/dir"}, {.timeout = minutes(2)});
    ASSERT_TRUE(ran.ok()) << ran;
  }
  Container container(*this, *bundle_, Id("directories"));
  CompareGroup("directories", Path("work"), container, bundle_->rootfs() + "/work", "/work");
}

// In small file systems of their own, which the container has as a bind mount.
TEST_F(Differential, Limits) {
  for (const char* name : {"small", "small-host"}) {
    MakeDirectory(Path(name));
    const std::string options = "size=8m,nr_inodes=200", quota = options + ",usrquota,usrquota_block_hardlimit=1m";
    if (mount("tmpfs", Path(name).c_str(), "tmpfs", 0, quota.c_str()) == 0) continue;
    ASSERT_EQ(mount("tmpfs", Path(name).c_str(), "tmpfs", 0, options.c_str()), 0) << strerror(errno);
  }
  bundle_->AddBind(Path("small"), "/small");
  {
    Container container(*this, *bundle_, Id("limits"));
    CompareGroup("limits", Path("small-host"), container, Path("small"), "/small");
  }
  for (const char* name : {"small", "small-host"}) EXPECT_EQ(umount(Path(name).c_str()), 0) << strerror(errno);
}

TEST_F(Differential, RandomCalls) {
  Container container(*this, *bundle_, Id("random"));
  const int seeds = getenv("LISAFS_TEST_LONG") != nullptr ? 300 : 10;
  for (int seed = 1; seed <= seeds; ++seed) {
    std::vector<int> steps(3000);
    std::iota(steps.begin(), steps.end(), 1);
    if (RandomDifference(container, seed, steps).empty()) continue;
    if (HasFatalFailure()) return;
    steps = Shrunk(container, seed, steps);
    std::string calls;
    for (int step : steps) calls += " " + std::to_string(step);
    FAIL() << "actor random " << seed << " 3000 DIRECTORY" << calls << "\n" << RandomDifference(container, seed, steps);
  }
}

// Several at once, each in a directory of its own.
TEST_F(Differential, RandomCallsInParallel) {
  MakeDirectory(bundle_->rootfs() + "/work", 0777);
  std::string script;
  for (int seed = 1001; seed < 1009; ++seed) {
    std::string name = "/work/" + std::to_string(seed);
    MakeDirectory(bundle_->rootfs() + name, 0777);
    script += "actor random " + std::to_string(seed) + " 3000 " + name + " > " + name + ".out & ";
  }
  bundle_->SetScript(script + "wait");
  Ran ran = RunContainer(*bundle_, Id("parallel"), {.timeout = minutes(4)});
  ASSERT_TRUE(ran.ok()) << ran;
  for (int seed = 1001; seed < 1009; ++seed) {
    std::string directory = Path(std::to_string(seed));
    MakeDirectory(directory, 0777);
    Ran host = RunProgram({DataFile(kActor), "random", std::to_string(seed), "3000", directory});
    ASSERT_TRUE(host.ok()) << host;
    std::string inside = ReadFile(bundle_->rootfs() + "/work/" + std::to_string(seed) + ".out").value_or("");
    std::string difference = Difference(host.out, inside);
    EXPECT_TRUE(difference.empty()) << "seed " << seed << "\n" << difference;
  }
}

// docs/differences.md says what is true.
TEST_F(Differential, Listed) {
  MakeDirectory(bundle_->rootfs() + "/work", 0777);
  Container container(*this, *bundle_, Id("listed"));
  Ran ran = container.ExecCommand({"/bin/actor", "scenarios", "listed", "/work"});
  ASSERT_TRUE(ran.ok()) << ran;
  EXPECT_EQ(ran.out, R"(== names = 
a character device = EPERM
a block device = EPERM
a whiteout = ok
a rename that leaves a whiteout = EINVAL
== attributes = 
security.test = EPERM
a value of 65536 bytes = E2BIG
now as = 1000
write = 1
stat file = mode 102666 links 1 owner 0:0 size 7
now as = 1000
a chown that names nobody = ok
stat file = mode 104755 links 1 owner 0:0 size 7
the attribute of a deleted file = EINVAL
setting it = EINVAL
== data = 
seeking = 9223372036854775807
FICLONE = EOPNOTSUPP
FIEMAP = EOPNOTSUPP
FS_IOC_GETFLAGS = ENOTTY
)");
}

// How many of a file's pages in the host's cache are not on the disk; -1 if the kernel does not say.
int64_t NotOnDisk(const std::string& path) {
  constexpr long kCacheStat = 451;  // cachestat(2), which Debian 12's headers do not have.
  struct {
    uint64_t offset, length;
  } all = {};
  struct {
    uint64_t cached, dirty, in_writeback, evicted, recently_evicted;
  } found = {};
  Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (syscall(kCacheStat, fd.get(), &all, &found, 0) != 0) return -1;
  return static_cast<int64_t>(found.dirty + found.in_writeback);
}

// What is to be on the disk when a call returns is there.
TEST_F(Differential, SyncReachesTheDisk) {
  Container container(*this, *bundle_, Id("sync"));
  const std::string file = bundle_->rootfs() + "/file";
  ASSERT_TRUE(container.Exec("echo content > /file").ok());
  if (NotOnDisk(file) <= 0) GTEST_SKIP() << "the kernel does not say what is not on the disk";
  for (const char* how : {"fsync", "fdatasync", "msync", "O_SYNC", "O_DSYNC"}) {
    ASSERT_TRUE(container.ExecCommand({"/bin/actor", "write", "nothing more", "/file"}).ok());
    EXPECT_GT(NotOnDisk(file), 0) << how;
    Ran ran = container.ExecCommand({"/bin/actor", "write", how, "/file"});
    ASSERT_TRUE(ran.ok()) << ran;
    EXPECT_EQ(NotOnDisk(file), 0) << how;
  }
}

}  // namespace
}  // namespace lisafs::tests
