#include "confine/confine.h"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <set>
#include <sstream>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "confine/confine_testing.h"

// The whole recipe: a child confines itself, and the tests look at it from outside, through /proc/PID.

namespace lisafs {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream all;
  all << file.rdbuf();
  return all.str();
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

constexpr int kMaxThreads = 20;
constexpr uint64_t kMaxMemory = uint64_t{1} << 30;

// The recipe, as a program's main would follow it.
Fd ConfineFully(int ready_fd, const std::vector<int>& keep = {}) {
  std::vector<int> kept = keep;
  if (ready_fd >= 0) kept.push_back(ready_fd);
  OrExit(CloseOtherDescriptors(kept));
  OrExit(EnterNamespaces(ready_fd, kMaxThreads));
  Fd proc_self_fd = OrExit(OpenProcSelfFd());
  OrExit(EmptyRoot());
  OrExit(
      DropPrivileges({.capabilities = {CAP_CHOWN, CAP_DAC_OVERRIDE}, .max_open_files = 100, .max_memory = kMaxMemory}));
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
    } else if (line.starts_with("Max data size")) {
#ifndef __SANITIZE_ADDRESS__
      EXPECT_EQ(soft + "/" + hard, std::to_string(kMaxMemory) + "/" + std::to_string(kMaxMemory));
#endif
      ++seen;
    }
  }
  EXPECT_EQ(seen, 3);
}

TEST_F(ConfineTest, ThreadsAreLimited) {
  auto highest_pid = [] { return atoi(ReadFile("/proc/sys/kernel/pid_max").c_str()); };
  const int outside = highest_pid();
  Pipe counted;
  StartConfined(
      [&](const Fd&) {
        std::vector<std::thread> threads;
        try {
          for (int i = 0; i < 1000; ++i) threads.emplace_back([] { pause(); });
        } catch (const std::system_error&) {
        }
        dprintf(counted.write_end.get(), "%zu", threads.size());
        for (std::thread& thread : threads) thread.detach();
      },
      {counted.write_end.get()});
  counted.write_end.reset();
  char text[16] = {};
  ASSERT_GT(read(counted.read_end.get(), text, sizeof text - 1), 0);
  const int threads = atoi(text);
  EXPECT_EQ(highest_pid(), outside) << "that is everybody's";
  if (threads == 1000) GTEST_SKIP() << "this kernel's pid namespaces have no limit of their own: Linux 6.14";
  EXPECT_GE(threads, kMaxThreads);
  EXPECT_LT(threads, kMaxThreads + 302);
}

TEST_F(ConfineTest, TheSessionKeyringIsItsOwn) {
  auto session = [] { return syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 1); };
  const long outside = session();
  if (outside < 0) GTEST_SKIP() << "no keyrings here: " << Errno::Last().ToString();
  StartConfined([&](const Fd&) { INSIDE(session() > 0 && session() != outside); });
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

TEST_F(ConfineTest, OnlySigkillEndsAChildThatWasHandedOver) {
  StartConfined();
  for (int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGQUIT}) ASSERT_EQ(kill(confined_, signal), 0);
  ASSERT_EQ(kill(confined_, SIGKILL), 0);
  EXPECT_EQ(WaitFor(confined_), 128 + SIGKILL);
  confined_ = 0;
}

}  // namespace
}  // namespace lisafs
