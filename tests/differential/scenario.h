#ifndef LISAFS_TESTS_DIFFERENTIAL_SCENARIO_H_
#define LISAFS_TESTS_DIFFERENTIAL_SCENARIO_H_

#include <string>
#include <vector>

// The table of what is tried. A scenario is run as root in an empty directory of its own, the working directory, with a
// umask of 022, and says what it sees (say.h). What it leaves in the directory is compared too.

namespace lisafs::differential {

struct Scenario {
  std::string name;
  void (*run)();
};

// A group of them has a file of its own.
struct Group {
  std::string name;
  std::vector<Scenario> scenarios;
};

Group OpenScenarios();
Group NameScenarios();
Group AttributeScenarios();
Group AclScenarios();
Group DataScenarios();
Group MappingScenarios();
Group LockScenarios();
Group ProgramScenarios();
Group DirectoryScenarios();
// In a file system that is small (8 MiB) and has few files (200), and where the user 1000 has a quota of 1 MiB if the
// kernel knows quotas there.
Group LimitScenarios();
// Those of docs/differences.md.
Group ListedScenarios();

// What ProgramScenarios() start this program for: says with which ids and capabilities it runs. Gives its exit status.
int SayIds();

}  // namespace lisafs::differential

#endif  // LISAFS_TESTS_DIFFERENTIAL_SCENARIO_H_
