#ifndef LISAFS_TESTS_RUNSC_RUNSC_HOST_H_
#define LISAFS_TESTS_RUNSC_RUNSC_HOST_H_

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#include "tests/containers/host.h"

// What tests of gVisor's runsc share.

namespace lisafs::tests {

// A runsc and how it is to treat files.
struct RunscMode {
  enum class Vintage { kDebian, kNewest };

  std::string name;
  Vintage vintage = Vintage::kNewest;
  std::vector<std::string> flags;
  bool overlay = false;   // Changes to the root stay in the sentry.
  bool directfs = false;  // The sentry works on files by itself.
};
void PrintTo(const RunscMode& mode, std::ostream* stream);
std::string RunscModeName(const testing::TestParamInfo<RunscMode>& info);

// Both vintages, with the overlay on the root and without, the newest also with directfs, its default, and without.
std::vector<RunscMode> AllRunscModes();
// One that makes much use of the gofer, for each vintage.
std::vector<RunscMode> PlainRunscModes();

// A host whose containers run on that runsc. Tests are skipped where it is missing, or does not run by itself.
class RunscHost : public Host, public testing::WithParamInterface<RunscMode> {
 public:
  void SetUp() override;

  // The program's path; empty if there is none.
  static std::string RunscProgram(RunscMode::Vintage vintage);

  // How often the gofer has been asked for this on a mount.
  uint64_t Calls(const std::string& id, const std::string& target, const std::string& message) const;
  // The processes whose command line contains `text`.
  static std::vector<Descendant> Find(const std::string& text);
};

}  // namespace lisafs::tests

#endif  // LISAFS_TESTS_RUNSC_RUNSC_HOST_H_
