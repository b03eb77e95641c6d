// actor: does to a directory what the differential test compares, and says on standard output what it saw. Linked
// statically: the same program runs on the host and in any container. Each use is described by Usage() below.

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <set>
#include <string>

#include "tests/differential/random_calls.h"
#include "tests/differential/say.h"
#include "tests/differential/scenario.h"
#include "tests/differential/torture.h"

namespace lisafs::differential {
namespace {

int Usage() {
  fprintf(stderr,
          "usage: actor scenarios GROUP DIRECTORY [NAME]   a group's scenarios, each in a new directory below\n"
          "       actor random SEED COUNT DIRECTORY [STEP…]   COUNT random calls, or those of these numbers\n"
          "       actor many COUNT DIRECTORY   makes so many files\n"
          "       actor torture SECONDS SEED DIRECTORY   many processes at once, each of which checks what it finds\n"
          "       actor left-whole DIRECTORY   checks what a torture has left\n"
          "       actor ids   says as whom it runs\n"
          "       actor write HOW FILE   writes a byte and has it brought to the disk: fsync, fdatasync, msync, "
          "O_SYNC, O_DSYNC\n"
          "       actor wait   waits for the end of its input\n");
  return 2;
}

int RunScenarios(const std::string& group_name, const std::string& directory, const std::string& only) {
  for (const Group& group :
       {OpenScenarios(), NameScenarios(), AttributeScenarios(), AclScenarios(), DataScenarios(), MappingScenarios(),
        LockScenarios(), ProgramScenarios(), DirectoryScenarios(), LimitScenarios(), ListedScenarios()}) {
    if (group.name != group_name) continue;
    for (const Scenario& scenario : group.scenarios) {
      if (!only.empty() && scenario.name != only) continue;
      Check(chdir(directory.c_str()) == 0, "entering " + directory);
      umask(022);
      if (mkdir(scenario.name.c_str(), 0755) != 0) Check(errno == EEXIST, "a directory for " + scenario.name);
      Check(chdir(scenario.name.c_str()) == 0, "entering it");
      SayText("== " + scenario.name, "");
      InChild(scenario.run);
    }
    return 0;
  }
  return Usage();
}

int RunRandom(int argc, char** argv) {
  if (chdir(argv[4]) != 0) return Usage();
  std::set<int> steps;
  for (int i = 5; i < argc; ++i) steps.insert(atoi(argv[i]));
  if (steps.empty()) {
    for (int i = 1; i <= atoi(argv[3]); ++i) steps.insert(i);
  }
  MakeRandomCalls(static_cast<unsigned>(atoi(argv[2])), steps);
  return 0;
}

int MakeMany(int count, const char* directory) {
  if (chdir(directory) != 0) return Usage();
  for (int i = 0; i < count; ++i) MakeFile("stable-" + std::to_string(i));
  return 0;
}

// Writes a byte in one of the ways that are to bring it to the disk.
int WriteToDisk(const std::string& how, const char* path) {
  int flags = how == "O_SYNC" ? O_SYNC : how == "O_DSYNC" ? O_DSYNC : 0;
  int fd = open(path, O_RDWR | O_CLOEXEC | flags);
  Check(pwrite(fd, "x", 1, 0) == 1, std::string("writing to ") + path);
  if (how == "fsync") Check(fsync(fd) == 0, how);
  if (how == "fdatasync") Check(fdatasync(fd) == 0, how);
  if (how == "msync") {
    void* memory = mmap(nullptr, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    Check(memory != MAP_FAILED, "mmap");
    *static_cast<char*>(memory) = 'y';
    Check(msync(memory, 1, MS_SYNC) == 0, how);
  }
  return 0;
}

int Main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);  // A FIFO without a reader gives EPIPE.
  std::string what = argc > 1 ? argv[1] : "";
  if (what == "scenarios" && (argc == 4 || argc == 5)) return RunScenarios(argv[2], argv[3], argc == 5 ? argv[4] : "");
  if (what == "random" && argc >= 5) return RunRandom(argc, argv);
  if (what == "many" && argc == 4) return MakeMany(atoi(argv[2]), argv[3]);
  if (what == "torture" && argc == 5 && chdir(argv[4]) == 0) {
    return Torture(atoi(argv[2]), static_cast<unsigned>(atoi(argv[3]))) ? 0 : 1;
  }
  if (what == "left-whole" && argc == 3 && chdir(argv[2]) == 0) return LeftWhole() ? 0 : 1;
  if (what == "ids") return SayIds();
  if (what == "write" && argc == 4) return WriteToDisk(argv[2], argv[3]);
  if (what == "wait" && argc == 2) return getchar() == EOF ? 0 : 1;
  return Usage();
}

}  // namespace
}  // namespace lisafs::differential

int main(int argc, char** argv) { return lisafs::differential::Main(argc, argv); }
