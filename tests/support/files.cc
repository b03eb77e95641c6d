#include "tests/support/files.h"

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

namespace lisafs::tests {
namespace {

// Field 5 of mountinfo, octal escapes undone.
std::string MountPoint(const std::string& line) {
  std::istringstream fields(line);
  std::string escaped, point;
  for (int i = 0; i < 5; i++) fields >> escaped;
  for (size_t i = 0; i < escaped.size(); i++) {
    if (escaped[i] == '\\' && i + 3 < escaped.size()) {
      point += static_cast<char>(strtol(escaped.substr(i + 1, 3).c_str(), nullptr, 8));
      i += 3;
    } else {
      point += escaped[i];
    }
  }
  return point;
}

}  // namespace

TempDir::TempDir() {
  char name[] = "/tmp/lisafs-test-XXXXXX";
  if (mkdtemp(name) == nullptr) {
    ADD_FAILURE() << "mkdtemp " << name << ": " << strerror(errno);
    abort();  // Whatever would be done in it would be done elsewhere.
  }
  path_ = name;
}

TempDir::~TempDir() {
  std::vector<std::string> mounts = MountInfo();
  for (auto line = mounts.rbegin(); line != mounts.rend(); ++line) {
    std::string point = MountPoint(*line);
    if (!point.starts_with(path_ + "/")) continue;
    if (umount2(point.c_str(), MNT_DETACH) != 0) {
      ADD_FAILURE() << "left behind, since " << point << " is busy: " << path_;
      return;
    }
  }
  std::error_code error;
  std::filesystem::remove_all(path_, error);
  EXPECT_FALSE(error) << "remove " << path_ << ": " << error.message();
}

void WriteFile(const std::string& path, std::string_view content, mode_t mode) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << content;
  file.close();
  EXPECT_TRUE(file) << "write " << path;
  EXPECT_EQ(chmod(path.c_str(), mode), 0) << path << ": " << strerror(errno);
}

void MakeDirectory(const std::string& path, mode_t mode) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  EXPECT_FALSE(error) << "mkdir " << path << ": " << error.message();
  EXPECT_EQ(chmod(path.c_str(), mode), 0) << path << ": " << strerror(errno);
}

std::optional<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

std::vector<std::string> ListDirectory(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> MountInfo() {
  std::ifstream file("/proc/self/mountinfo");
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

std::string ProcessStatus(pid_t pid, std::string_view name) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  std::string prefix = std::string(name) + ":";
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(prefix)) continue;
    size_t start = line.find_first_not_of(" \t", prefix.size());
    return start == std::string::npos ? "" : line.substr(start);
  }
  return "";
}

bool Eventually(std::chrono::milliseconds timeout, const std::function<bool()>& condition) {
  auto deadline = std::chrono::steady_clock::now() + timeout;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

std::string DataFile(std::string_view path) {
  const char* runfiles = getenv("TEST_SRCDIR");
  const char* workspace = getenv("TEST_WORKSPACE");
  std::string root = runfiles == nullptr ? "." : std::string(runfiles) + "/" + (workspace == nullptr ? "" : workspace);
  return root + "/" + std::string(path);
}

}  // namespace lisafs::tests
