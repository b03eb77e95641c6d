#ifndef LISAFS_TESTS_SUPPORT_FILES_H_
#define LISAFS_TESTS_SUPPORT_FILES_H_

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lisafs::tests {

// A directory below /tmp (short enough for the path of a unix socket) that is gone, with everything mounted and stored
// in it, when the object is.
class TempDir {
 public:
  TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir();

  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
};

// These fail the running test if they cannot do what they are asked, and give nothing.
void WriteFile(const std::string& path, std::string_view content, mode_t mode = 0644);
void MakeDirectory(const std::string& path, mode_t mode = 0755);  // With its parents.

std::optional<std::string> ReadFile(const std::string& path);  // Nothing if it cannot be read.
std::vector<std::string> ListDirectory(
    const std::string& path);  // Without "." and "..", sorted; empty if there is none.

// The lines of /proc/self/mountinfo.
std::vector<std::string> MountInfo();

// The value of "Name:" in /proc/PID/status, without blanks around it; empty if there is none.
std::string ProcessStatus(pid_t pid, std::string_view name);

// For what has to happen, however busy the machine is. Who waits for longer has found that it does not.
inline constexpr std::chrono::seconds kPatience(60);

// Asks again and again until it is so, or the time is over; whether it is so in the end.
bool Eventually(std::chrono::milliseconds timeout, const std::function<bool()>& condition);

// A file among the test's data, by its path from the workspace's root.
std::string DataFile(std::string_view path);

}  // namespace lisafs::tests

#endif  // LISAFS_TESTS_SUPPORT_FILES_H_
