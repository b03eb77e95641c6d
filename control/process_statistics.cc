#include "control/process_statistics.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/fd.h"

namespace lisafs {
namespace {

// How many descriptors a process has open: from Linux 6.2 on the directory's size says it.
uint64_t CountFds(const std::string& directory) {
  struct stat stat;
  if (::stat(directory.c_str(), &stat) != 0) return 0;
  if (stat.st_size > 0) return static_cast<uint64_t>(stat.st_size);
  uint64_t count = 0;
  std::error_code error;
  for (std::filesystem::directory_iterator at(directory, error), end; at != end; at.increment(error)) ++count;
  return count;
}

}  // namespace

std::optional<control::v1::ProcessStatistics> ReadProcess(pid_t pid) {
  const std::string directory = absl::StrCat("/proc/", pid);
  Fd file(open((directory + "/stat").c_str(), O_RDONLY | O_CLOEXEC));
  char text[1024];
  const ssize_t size = file ? read(file.get(), text, sizeof text - 1) : -1;
  if (size <= 0) return std::nullopt;
  text[size] = '\0';
  // The name may hold anything, but what follows holds no parenthesis.
  const char* rest = strrchr(text, ')');
  unsigned long user, system, threads, pages;
  // proc(5): fields 14, 15, 20 and 24, counted from 1, of which `rest` begins before the third.
  if (rest == nullptr ||
      sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %lu %*d %*u %*u %lu",
             &user, &system, &threads, &pages) != 4) {
    return std::nullopt;
  }
  static const uint64_t page_size = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  static const uint64_t tick = 1'000'000'000 / static_cast<uint64_t>(sysconf(_SC_CLK_TCK));
  control::v1::ProcessStatistics process;
  process.set_pid(pid);
  process.set_resident_bytes(pages * page_size);
  process.set_threads(threads);
  process.set_cpu_nanoseconds((user + system) * tick);
  process.set_open_fds(CountFds(directory + "/fd"));
  return process;
}

std::vector<control::v1::ProcessStatistics> ProcessesOf(const control::v1::Sandbox& sandbox) {
  std::vector<control::v1::ProcessStatistics> processes;
  auto add = [&](const char* program, const std::string& target, pid_t pid) {
    if (pid == 0) return;
    auto process = ReadProcess(pid);
    if (!process) return;
    process->set_sandbox_id(sandbox.id());
    process->set_mount_target(target);
    process->set_program(program);
    processes.push_back(*std::move(process));
  };
  auto add_all = [&](const std::string& target, const auto& of) {
    add("gofer", target, of.gofer_pid());
    add("plugin", target, of.plugin_pid());
    add("broker", target, of.broker_pid());
  };
  add_all("", sandbox);
  for (const control::v1::Mount& mount : sandbox.mounts()) {
    if (mount.added()) add_all(mount.spec().target(), mount);
  }
  return processes;
}

}  // namespace lisafs
