#include "tests/support/bundle.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <utility>

#include "tests/support/files.h"
#include "tests/support/process.h"

namespace lisafs::tests {
namespace {

using Json = nlohmann::json;

Json DefaultConfig() {
  Json capabilities = {"CAP_AUDIT_WRITE", "CAP_CHOWN",  "CAP_DAC_OVERRIDE", "CAP_FOWNER",          "CAP_FSETID",
                       "CAP_KILL",        "CAP_MKNOD",  "CAP_NET_RAW",      "CAP_SETFCAP",         "CAP_SETGID",
                       "CAP_SETPCAP",     "CAP_SETUID", "CAP_SYS_CHROOT",   "CAP_NET_BIND_SERVICE"};
  return {
      {"ociVersion", "1.0.2"},
      {"process",
       {{"terminal", false},
        {"user", {{"uid", 0}, {"gid", 0}}},
        {"args", {"/bin/true"}},
        {"env", {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8"}},
        {"cwd", "/"},
        {"noNewPrivileges", false},
        {"capabilities", {{"bounding", capabilities}, {"effective", capabilities}, {"permitted", capabilities}}}}},
      {"root", {{"path", "rootfs"}, {"readonly", false}}},
      {"hostname", "container"},
      {"mounts",
       {{{"destination", "/proc"}, {"type", "proc"}, {"source", "proc"}},
        {{"destination", "/dev"},
         {"type", "tmpfs"},
         {"source", "tmpfs"},
         {"options", {"nosuid", "strictatime", "mode=755", "size=65536k"}}},
        {{"destination", "/dev/pts"},
         {"type", "devpts"},
         {"source", "devpts"},
         {"options", {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}}},
        {{"destination", "/dev/shm"},
         {"type", "tmpfs"},
         {"source", "shm"},
         {"options", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}}},
        {{"destination", "/dev/mqueue"},
         {"type", "mqueue"},
         {"source", "mqueue"},
         {"options", {"nosuid", "noexec", "nodev"}}},
        {{"destination", "/sys"},
         {"type", "sysfs"},
         {"source", "sysfs"},
         {"options", {"nosuid", "noexec", "nodev", "ro"}}}}},
      {"linux",
       {{"namespaces",
         {{{"type", "pid"}}, {{"type", "network"}}, {{"type", "ipc"}}, {{"type", "uts"}}, {{"type", "mount"}}}},
        {"maskedPaths", {"/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"}},
        {"readonlyPaths", {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}}}},
  };
}

}  // namespace

Bundle::Bundle(std::string directory) : directory_(std::move(directory)), config_(DefaultConfig()) {
  MakeDirectory(rootfs());
}

void Bundle::Write() const { WriteFile(directory_ + "/config.json", config_.dump(2)); }

void Bundle::SetArguments(const std::vector<std::string>& arguments) { config_["process"]["args"] = arguments; }

void Bundle::AddBind(const std::string& source, const std::string& destination, std::vector<std::string> options) {
  if (std::find(options.begin(), options.end(), "rbind") == options.end()) options.push_back("bind");
  options.push_back("rprivate");
  config_["mounts"].push_back(
      {{"destination", destination}, {"type", "bind"}, {"source", source}, {"options", options}});
}

void MakeBusyboxRoot(const std::string& directory) {
  for (const char* name : {"bin", "dev", "etc", "proc", "root", "sys", "var"}) MakeDirectory(directory + "/" + name);
  MakeDirectory(directory + "/tmp", 01777);
  WriteFile(directory + "/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/tmp:/bin/sh\n");
  WriteFile(directory + "/etc/group", "root:x:0:\nuser:x:1000:\n");

  std::error_code error;
  std::filesystem::copy_file("/bin/busybox", directory + "/bin/busybox", error);
  ASSERT_FALSE(error) << "/bin/busybox (from Debian's busybox-static): " << error.message();
  Ran list = RunProgram({"/bin/busybox", "--list"});
  ASSERT_TRUE(list.ok()) << list;
  std::istringstream names(list.out);
  for (std::string name; names >> name;) {
    if (name != "busybox") std::filesystem::create_symlink("busybox", directory + "/bin/" + name, error);
  }
}

}  // namespace lisafs::tests
