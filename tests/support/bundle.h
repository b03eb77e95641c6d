#ifndef LISAFS_TESTS_SUPPORT_BUNDLE_H_
#define LISAFS_TESTS_SUPPORT_BUNDLE_H_

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace lisafs::tests {

// An OCI bundle: a directory with a config.json that says what `runc spec` says for a container without a terminal, and
// with the capabilities that engines grant by default.
class Bundle {
 public:
  // In `directory`, which is made; its root file system is `directory`/rootfs, which the caller fills.
  explicit Bundle(std::string directory);

  const std::string& path() const { return directory_; }
  std::string rootfs() const { return directory_ + "/rootfs"; }

  // To be changed at will before the container is made; Write puts it on disk.
  nlohmann::json& config() { return config_; }
  void Write() const;

  void SetArguments(const std::vector<std::string>& arguments);
  void SetScript(const std::string& script) { SetArguments({"/bin/sh", "-c", script}); }
  // A bind mount; "bind" and "rprivate", or "rbind" if it is among them, come with the options.
  void AddBind(const std::string& source, const std::string& destination, std::vector<std::string> options = {});

 private:
  std::string directory_;
  nlohmann::json config_;
};

// Fills `directory` with Debian's static busybox and a link for each of its programs, and the directories that a
// container mounts on.
void MakeBusyboxRoot(const std::string& directory);

}  // namespace lisafs::tests

#endif  // LISAFS_TESTS_SUPPORT_BUNDLE_H_
