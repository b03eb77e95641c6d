// Descriptors are a budget: many more files than the gofer and the plugin may have open.

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/fd.h"
#include "tests/filesystem/mounted_directory.h"

namespace lisafs::tests {
namespace {

using std::chrono::duration;
using std::chrono::steady_clock;

constexpr size_t kLimit = 4096;

double MemoryBytes(pid_t pid) { return atof(ProcessStatus(pid, "VmRSS").c_str()) * 1024; }

double CpuSeconds(pid_t pid) {
  const std::string stat = ReadFile("/proc/" + std::to_string(pid) + "/stat").value_or("");
  unsigned long user = 0, system = 0;
  const size_t name_end = stat.rfind(')');
  if (name_end == stat.npos ||
      sscanf(stat.c_str() + name_end, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2) {
    ADD_FAILURE() << "/proc/PID/stat: " << stat;
  }
  return static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

class Descriptors : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    const rlimit limit = {kLimit, kLimit};  // Inherited by what is started from here on.
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0) << strerror(errno);
    // Files that are only there to be many are kept off the disk.
    ASSERT_EQ(mount("tmpfs", "/tmp", "tmpfs", 0, "mode=1777,nr_inodes=0,size=90%"), 0) << strerror(errno);
    files_.emplace(MountedDirectory::Options{.passthrough = true});
    ASSERT_TRUE(files_->ok());
  }
  void TearDown() override {
    files_.reset();
    umount2("/tmp", MNT_DETACH);
  }
  void MakeFiles(int directories, int files) {
    for (int d = 0; d < directories; ++d) {
      MakeDirectory(files_->OnHost("d" + std::to_string(d)));
      for (int f = 0; f < files; ++f) WriteFile(files_->OnHost(Name(d, f)), Name(d, f));
    }
  }
  static std::string Name(int directory, int file) {
    return "d" + std::to_string(directory) + "/f" + std::to_string(file);
  }
  // Looks at a file and reads it, as a backup does.
  bool Visit(const std::string& name) {
    const std::string path = *files_ / name;
    struct stat stat;
    return ::stat(path.c_str(), &stat) == 0 && static_cast<size_t>(stat.st_size) == name.size() &&
           ReadFile(path) == name;
  }

  std::optional<MountedDirectory> files_;
};

// With LISAFS_TEST_LONG a million.
TEST_F(Descriptors, AMillionFilesAreWalkedStatedAndRead) {
  constexpr int kTenths = 10, kFiles = 1000;
  const int directories = getenv("LISAFS_TEST_LONG") != nullptr ? 1000 : 100;
  MakeFiles(directories, kFiles);
  const pid_t plugin = files_->plugin_pid(), gofer = files_->gofer_pid();
  const double plugin_before = MemoryBytes(plugin), gofer_before = MemoryBytes(gofer);
  std::vector<double> costs;  // CPU time of both for each file of a tenth, in microseconds.
  for (int tenth = 0; tenth < kTenths; ++tenth) {
    const int first = directories * tenth / kTenths, last = directories * (tenth + 1) / kTenths;
    const double files = (last - first) * kFiles;
    const double cpu_before = CpuSeconds(plugin) + CpuSeconds(gofer);
    const auto start = steady_clock::now();
    for (int d = first; d < last; ++d) {
      ASSERT_EQ(ListDirectory(*files_ / ("d" + std::to_string(d))).size(), static_cast<size_t>(kFiles));
      for (int f = 0; f < kFiles; ++f) ASSERT_TRUE(Visit(Name(d, f))) << Name(d, f) << ": " << strerror(errno);
    }
    costs.push_back((CpuSeconds(plugin) + CpuSeconds(gofer) - cpu_before) / files * 1e6);
    printf("tenth %d: %.0f files a second, %.1f us of the programs' time for each\n", tenth,
           files / duration<double>(steady_clock::now() - start).count(), costs.back());
    EXPECT_LT(CountDescriptors(gofer), kLimit);
    EXPECT_LT(CountDescriptors(plugin), kLimit);
  }
  const double files = directories * kFiles;
  const double plugin_bytes = (MemoryBytes(plugin) - plugin_before) / files;
  const double gofer_bytes = (MemoryBytes(gofer) - gofer_before) / files;
  printf("bytes for each of %.0f files: plugin %.0f, gofer %.0f\n", files, plugin_bytes, gofer_bytes);
  EXPECT_LT(plugin_bytes, 600);
  EXPECT_LT(gofer_bytes, 50);
  // Level: the least that a tenth cost at the end and at the beginning, for the machine has other work.
  EXPECT_LT(*std::min_element(costs.end() - 3, costs.end()), 2 * *std::min_element(costs.begin(), costs.begin() + 3));

  // The first are found again, although what led to them has been given up.
  for (int f = 0; f < kFiles; ++f) ASSERT_TRUE(Visit(Name(0, f)));
}

// A container may have more files open than would fit beside what the plugin keeps for itself: that gives way.
TEST_F(Descriptors, OpenFilesTakePrecedence) {
  constexpr int kFiles = 3000, kOpen = 1700;
  MakeFiles(1, kFiles);
  for (int f = 0; f < kFiles; ++f) ASSERT_TRUE(Visit(Name(0, f)));
  std::vector<Fd> open;
  for (int f = 0; f < kOpen; ++f) {
    open.emplace_back(::open((*files_ / Name(0, f)).c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_TRUE(open.back()) << f << ": " << strerror(errno);
  }
  for (int f = kOpen; f < kFiles; ++f) ASSERT_TRUE(Visit(Name(0, f))) << f << ": " << strerror(errno);
  for (int f = 0; f < kOpen; ++f) {
    char c = 0;
    ASSERT_EQ(pread(open[f].get(), &c, 1, 0), 1);
    ASSERT_EQ(c, 'd');
  }
  // Removed files that are open are among those that cannot be found again.
  for (int f = 0; f < kOpen; ++f) ASSERT_EQ(unlink((*files_ / Name(0, f)).c_str()), 0) << f << ": " << strerror(errno);
  for (int f = 0; f < kOpen; ++f) {
    struct stat stat;
    ASSERT_EQ(fstat(open[f].get(), &stat), 0) << f << ": " << strerror(errno);
    ASSERT_EQ(stat.st_nlink, 0u);
  }
}

TEST_F(Descriptors, AStrangerUnderTheOldNameIsNotTakenForTheFile) {
  MakeFiles(1, 3000);
  MakeDirectory(files_->OnHost("directory"));
  WriteFile(files_->OnHost("directory/file"), "the file");
  // Known by a descriptor that holds nothing open on the server.
  Fd directory(open((*files_ / "directory").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  ASSERT_TRUE(directory);
  auto read = [&]() -> std::string {
    Fd file(openat(directory.get(), "file", O_RDONLY | O_CLOEXEC));
    char text[20] = {};
    if (!file || ::read(file.get(), text, sizeof text - 1) < 0) return strerrorname_np(errno);
    return text;
  };
  EXPECT_EQ(read(), "the file");
  // Its control FD is given up.
  for (int f = 0; f < 3000; ++f) ASSERT_TRUE(Visit(Name(0, f)));
  ASSERT_EQ(rename(files_->OnHost("directory").c_str(), files_->OnHost("moved").c_str()), 0);
  MakeDirectory(files_->OnHost("directory"));
  WriteFile(files_->OnHost("directory/file"), "a stranger");
  sleep(2);  // What the kernel was told about names is too old to be believed.
  EXPECT_EQ(read(), "ESTALE");
  // Found again where it is now.
  EXPECT_EQ(ReadFile(*files_ / "moved/file"), "the file");
  EXPECT_EQ(read(), "the file");
  EXPECT_EQ(ReadFile(*files_ / "directory/file"), "a stranger");
}

}  // namespace
}  // namespace lisafs::tests
