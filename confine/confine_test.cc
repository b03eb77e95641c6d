#include "confine/confine.h"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <set>
#include <sstream>
#include <string>
#include <thread>

// The program under test is a forked child that confines itself; the tests look at it from outside, through /proc/PID.

namespace lisafs {
namespace {

// Exit statuses of the forked children.
constexpr int kStepFailed = 90;
constexpr int kCheckFailed = 91;

template <typename T>
T OrExit(StepResult<T> result) {
  if (result) {
    if constexpr (std::is_void_v<T>) {
      return;
    } else {
      return std::move(*result);
    }
  }
  dprintf(STDERR_FILENO, "%s: %s\n", result.error().what.c_str(), result.error().error.ToString().c_str());
  _exit(kStepFailed);
}

void ExitUnless(bool condition, const char* what) {
  if (condition) return;
  dprintf(STDERR_FILENO, "not so in the confined process: %s (%s)\n", what, Errno::Last().ToString().c_str());
  _exit(kCheckFailed);
}
#define INSIDE(condition) ExitUnless(condition, #condition)

struct Pipe {
  Pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) abort();
    read_end = Fd(ends[0]);
    write_end = Fd(ends[1]);
  }
  Fd read_end;
  Fd write_end;
};

// Runs `body` in a child and gives its pid.
pid_t Fork(const std::function<void()>& body) {
  pid_t pid = fork();
  if (pid == 0) {
    body();
    _exit(0);
  }
  return pid;
}

// 128 + signal if killed, as EnterNamespaces has it.
int WaitFor(pid_t pid) {
  int status = 0;
  if (waitpid(pid, &status, 0) != pid) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Everything until end of file; gives up, with what there is, when nothing comes for ten seconds.
std::string ReadAll(int fd) {
  std::string all;
  char buffer[512];
  pollfd readable = {fd, POLLIN, 0};
  while (poll(&readable, 1, 10'000) > 0) {
    ssize_t n = read(fd, buffer, sizeof buffer);
    if (n <= 0) return all;
    all.append(buffer, n);
  }
  return all + "(timed out)";
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream all;
  all << file.rdbuf();
  return all.str();
}

std::string ReadLink(const std::string& path) {
  char target[PATH_MAX];
  ssize_t n = readlink(path.c_str(), target, sizeof target);
  return n < 0 ? "" : std::string(target, n);
}

std::set<std::string> List(const std::string& path) {
  std::set<std::string> names;
  DIR* directory = opendir(path.c_str());
  if (directory == nullptr) return {"(cannot open " + path + ")"};
  while (dirent* entry = readdir(directory)) names.insert(entry->d_name);
  closedir(directory);
  names.erase(".");
  names.erase("..");
  return names;
}

// The recipe, as a program's main would follow it.
Fd ConfineFully(int ready_fd, const std::vector<int>& keep = {}) {
  std::vector<int> kept = keep;
  if (ready_fd >= 0) kept.push_back(ready_fd);
  OrExit(CloseOtherDescriptors(kept));
  OrExit(EnterNamespaces(ready_fd));
  Fd proc_self_fd = OrExit(OpenProcSelfFd());
  OrExit(EmptyRoot());
  OrExit(DropPrivileges({.capabilities = {CAP_CHOWN, CAP_DAC_OVERRIDE}, .max_open_files = 100}));
  return proc_self_fd;
}

class ConfineTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "namespaces and mounts need root";
  }
  void TearDown() override {
    if (confined_ > 0) {
      kill(confined_, SIGKILL);
      WaitFor(confined_);
    }
  }

  // A confined process that has run `inside` and now waits to be killed.
  void StartConfined(
      const std::function<void(const Fd& proc_self_fd)>& inside = [](const Fd&) {}, const std::vector<int>& keep = {}) {
    Pipe ready;
    pid_t starter = Fork([&] {
      Fd proc_self_fd = ConfineFully(ready.write_end.get(), keep);
      inside(proc_self_fd);
      INSIDE(write(ready.write_end.get(), "ready\n", 6) == 6);
      ready.write_end.reset();
      while (true) pause();
    });
    ready.write_end.reset();
    ASSERT_EQ(WaitFor(starter), 0);
    std::istringstream told(ReadAll(ready.read_end.get()));
    ASSERT_TRUE(told >> confined_);
    std::string word;
    ASSERT_TRUE(told >> word);
    ASSERT_EQ(word, "ready");
    proc_ = "/proc/" + std::to_string(confined_) + "/";
  }

  // The value of a line of /proc/PID/status.
  std::string Status(const std::string& key) {
    std::istringstream status(ReadFile(proc_ + "status"));
    for (std::string line; std::getline(status, line);) {
      if (!line.starts_with(key + ":")) continue;
      size_t start = line.find_first_not_of(" \t", key.size() + 1);
      size_t end = line.find_last_not_of(" \t");
      return start == std::string::npos ? "" : line.substr(start, end - start + 1);
    }
    return "(no such line)";
  }

  pid_t confined_ = 0;
  std::string proc_;
};

TEST_F(ConfineTest, StatusShowsWhatIsLeft) {
  StartConfined();
  struct {
    const char* key;
    const char* value;
  } expected[] = {
      {"CapInh", "0000000000000000"},
      {"CapPrm", "0000000000000003"},
      {"CapEff", "0000000000000003"},
      {"CapBnd", "0000000000000000"},
      {"CapAmb", "0000000000000000"},
      {"NoNewPrivs", "1"},
      {"Umask", "0000"},
      {"Groups", ""},
  };
  for (const auto& line : expected) EXPECT_EQ(Status(line.key), line.value) << line.key;
  EXPECT_TRUE(Status("NSpid").ends_with("\t1")) << Status("NSpid");
  EXPECT_EQ(Status("PPid"), std::to_string(getpid()));
  EXPECT_EQ(getsid(confined_), confined_);
}

TEST_F(ConfineTest, LimitsAreSet) {
  StartConfined();
  std::istringstream limits(ReadFile(proc_ + "limits"));
  int seen = 0;
  for (std::string line; std::getline(limits, line);) {
    std::istringstream values(line.substr(std::min<size_t>(line.size(), 26)));
    std::string soft, hard;
    values >> soft >> hard;
    if (line.starts_with("Max open files")) {
      EXPECT_EQ(soft + "/" + hard, "100/100");
      ++seen;
    } else if (line.starts_with("Max core file size")) {
      EXPECT_EQ(soft + "/" + hard, "0/0");
      ++seen;
    }
  }
  EXPECT_EQ(seen, 2);
}

TEST_F(ConfineTest, NamespacesAreItsOwn) {
  StartConfined();
  for (const char* kind : {"mnt", "pid", "net", "ipc", "uts", "cgroup"}) {
    std::string own = ReadLink(proc_ + "ns/" + kind);
    EXPECT_NE(own, "") << kind;
    EXPECT_NE(own, ReadLink(std::string("/proc/self/ns/") + kind)) << kind;
  }
}

TEST_F(ConfineTest, RootIsEmptyAndReadOnly) {
  StartConfined();
  EXPECT_EQ(List(proc_ + "root"), std::set<std::string>{});
  EXPECT_EQ(ReadLink(proc_ + "cwd"), "/");
  std::string mounts = ReadFile(proc_ + "mountinfo");
  EXPECT_EQ(std::count(mounts.begin(), mounts.end(), '\n'), 1) << mounts;
  EXPECT_NE(mounts.find(" / / ro,nosuid,nodev,noexec"), std::string::npos) << mounts;
  EXPECT_EQ(mounts.find("shared:"), std::string::npos) << mounts;
  EXPECT_LT(open((proc_ + "root/file").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600), 0);
  EXPECT_EQ(errno, EROFS);
}

TEST_F(ConfineTest, NoNetworkInterfaceIsUp) {
  StartConfined();
  pid_t visitor = Fork([&] {
    Fd ns(open((proc_ + "ns/net").c_str(), O_RDONLY | O_CLOEXEC));
    INSIDE(setns(ns.get(), CLONE_NEWNET) == 0);
    Fd any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    INSIDE(any.valid());
    struct if_nameindex* interfaces = if_nameindex();
    INSIDE(interfaces != nullptr);
    for (auto* i = interfaces; i->if_index != 0; ++i) {
      ifreq request = {};
      snprintf(request.ifr_name, sizeof request.ifr_name, "%s", i->if_name);
      INSIDE(ioctl(any.get(), SIOCGIFFLAGS, &request) == 0);
      ExitUnless((request.ifr_flags & IFF_UP) == 0, i->if_name);
    }
  });
  EXPECT_EQ(WaitFor(visitor), 0);
}

TEST_F(ConfineTest, ReopensDescriptorsThroughProcSelfFd) {
  char name[] = "/tmp/confine_test.XXXXXX";
  Fd writable(mkstemp(name));
  Fd file(open(name, O_RDONLY | O_CLOEXEC));
  unlink(name);  // The name does not matter, nor that it is gone.
  std::string number = std::to_string(file.get());
  auto reopen = [&](const Fd& proc_self_fd) {
    Fd again(openat(proc_self_fd.get(), number.c_str(), O_RDWR | O_CLOEXEC));
    INSIDE(again.valid());
    INSIDE(pwrite(again.get(), "x", 1, 0) == 1);
  };
  StartConfined(
      [&](const Fd& proc_self_fd) {
        reopen(proc_self_fd);
        std::thread([&] { reopen(proc_self_fd); }).join();
        INSIDE(openat(proc_self_fd.get(), "../status", O_RDONLY | O_CLOEXEC) < 0 && errno == ENOENT);
        INSIDE(fchdir(proc_self_fd.get()) == 0);
      },
      {file.get()});
  char written = 0;
  EXPECT_EQ(pread(writable.get(), &written, 1, 0), 1);
  EXPECT_EQ(written, 'x');
}

TEST_F(ConfineTest, NothingBringsPrivilegesBack) {
  StartConfined([](const Fd&) {
    INSIDE(prctl(PR_GET_DUMPABLE) == 0);
    INSIDE(getpid() == 1);
    INSIDE(setuid(0) == 0);
    INSIDE(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0) < 0);
    INSIDE(prctl(PR_SET_SECUREBITS, 0, 0, 0, 0) < 0);
    INSIDE(unshare(CLONE_NEWNS) < 0);
  });
}

// A mutex that checks for errors keeps its owner's thread id as libc knows it.
TEST_F(ConfineTest, LibcKnowsTheNewThreadId) {
  StartConfined([](const Fd&) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_t mutex;
    pthread_mutex_init(&mutex, &attributes);
    pthread_mutex_lock(&mutex);
    INSIDE(mutex.__data.__owner == gettid());
  });
}

TEST_F(ConfineTest, StopSignalsEndTheChild) {
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) {
    StartConfined();
    ASSERT_EQ(kill(confined_, signal), 0);
    EXPECT_EQ(WaitFor(confined_), 128 + signal);
    confined_ = 0;
  }
}

TEST_F(ConfineTest, ChildDoesNotGoOnIfItsPidCannotBeTold) {
  Pipe went_on;
  pid_t starter = Fork([&] {
    Fd full(open("/dev/full", O_WRONLY | O_CLOEXEC));
    auto entered = EnterNamespaces(full.get());
    if (entered) INSIDE(write(went_on.write_end.get(), "x", 1) == 1);
    _exit(entered ? 0 : kStepFailed);
  });
  went_on.write_end.reset();
  EXPECT_EQ(WaitFor(starter), kStepFailed);
  EXPECT_EQ(ReadAll(went_on.read_end.get()), "");
  int status = 0;
  EXPECT_GT(waitpid(-1, &status, 0), 0);  // The child, which is this process's too.
  EXPECT_EQ(WEXITSTATUS(status), 1);
}

TEST_F(ConfineTest, AttachedParentExitsAsTheChildDoes) {
  pid_t exits = Fork([] {
    OrExit(EnterNamespaces(-1));
    _exit(7);
  });
  EXPECT_EQ(WaitFor(exits), 7);

  pid_t faults = Fork([] {
    OrExit(EnterNamespaces(-1));
    OrExit(DropPrivileges({}));  // No core file.
    *static_cast<volatile int*>(nullptr) = 0;
  });
  EXPECT_EQ(WaitFor(faults), 128 + SIGSEGV);
}

// Starts an attached pair whose child holds the write end of a pipe, and waits until the child runs.
pid_t StartAttached(Pipe& alive) {
  pid_t parent = Fork([&] {
    OrExit(EnterNamespaces(-1));
    INSIDE(write(alive.write_end.get(), "x", 1) == 1);
    while (true) pause();
  });
  alive.write_end.reset();
  char byte;
  EXPECT_EQ(read(alive.read_end.get(), &byte, 1), 1);
  return parent;
}

TEST_F(ConfineTest, AttachedParentForwardsSignals) {
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) {
    Pipe alive;
    pid_t parent = StartAttached(alive);
    kill(parent, signal);
    EXPECT_EQ(WaitFor(parent), 128 + signal);
    EXPECT_EQ(ReadAll(alive.read_end.get()), "");
  }
}

TEST_F(ConfineTest, AttachedChildDiesWithItsParent) {
  Pipe alive;
  pid_t parent = StartAttached(alive);
  kill(parent, SIGKILL);
  EXPECT_EQ(WaitFor(parent), 128 + SIGKILL);
  EXPECT_EQ(ReadAll(alive.read_end.get()), "");
}

TEST(CloseOtherDescriptors, KeepsWhatIsAskedFor) {
  pid_t child = Fork([] {
    for (int fd = 20; fd < 30; ++fd) dup2(STDERR_FILENO, fd);
    const int keep[] = {25, 22, 22};
    OrExit(CloseOtherDescriptors(keep));
    for (int fd = 3; fd < 64; ++fd) INSIDE((fcntl(fd, F_GETFD) >= 0) == (fd == 22 || fd == 25));
    INSIDE(ReadLink("/proc/self/fd/0") == "/dev/null");
  });
  EXPECT_EQ(WaitFor(child), 0);
}

TEST(CloseOtherDescriptors, LeavesStandardInputThatIsKept) {
  pid_t child = Fork([] {
    Pipe pipe;
    dup2(pipe.read_end.get(), STDIN_FILENO);
    const int keep[] = {STDIN_FILENO};
    OrExit(CloseOtherDescriptors(keep));
    INSIDE(ReadLink("/proc/self/fd/0").starts_with("pipe:"));
  });
  EXPECT_EQ(WaitFor(child), 0);
}

TEST(CloseOtherDescriptors, FillsStandardDescriptorsThatAreClosed) {
  pid_t child = Fork([] {
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    OrExit(CloseOtherDescriptors({}));
    INSIDE(ReadLink("/proc/self/fd/0") == "/dev/null");
    INSIDE(ReadLink("/proc/self/fd/1") == "/dev/null");
  });
  EXPECT_EQ(WaitFor(child), 0);
}

}  // namespace
}  // namespace lisafs
