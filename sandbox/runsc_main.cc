// lisafs-runsc: makes gVisor's runsc run on lisafs's gofer instead of its own. It is what a runsc started by it finds
// behind /proc/self/exe, and so what that executes when it means itself. docs/architecture.md says why so.
//
// Shares its address space with runsc, so it links nothing but libc.

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <string_view>

#include "base/program.h"
#include "sandbox/elf_image.h"
#include "sandbox/runsc_paths.h"

namespace lisafs {
namespace {

constexpr char kHelp[] =
    R"(lisafs-runsc - a part of lisafs-runtime, which starts it as runsc; use that

usage: lisafs-runsc --until-closed FD
  --until-closed FD  wait until nobody holds the other side of FD any more
  --help, --version
)";

int Fail(const char* what, const char* why) {
  fprintf(stderr, "%s: %s: %s\n", kRunscLoader, what, why);
  return kExitFailure;
}

// What stands in for the gofer becomes this when its work is done: runsc wants a process for as long as it has a gofer,
// and this one takes next to no memory.
int WaitUntilClosed(const char* number) {
  char byte;
  ssize_t size;
  while ((size = read(atoi(number), &byte, 1)) > 0 || (size < 0 && errno == EINTR)) continue;
  return size == 0 ? kExitSuccess : Fail(number, strerror(errno));
}

int OwnCommand(char** argv) {
  std::string_view option = argv[1] == nullptr ? "" : argv[1];
  if (option == "--until-closed" && argv[2] != nullptr) return WaitUntilClosed(argv[2]);
  if (option == "--version") {
    printf("%s %.*s\n", kRunscLoader, static_cast<int>(kVersion.size()), kVersion.data());
    return kExitSuccess;
  }
  fputs(kHelp, option == "--help" ? stdout : stderr);
  return option == "--help" ? kExitSuccess : kExitUsage;
}

int RunInPlace(char** argv, char** environment) {
  ElfImage image;
  if (const char* why = image.Map(kRunscProgram)) return Fail(kRunscProgram, why);
  prctl(PR_SET_NAME, kRunscName);
  image.Enter(kRunscProgram, argv, environment);
}

int Execute(const char* program, char** argv, char** environment) {
  execve(program, argv, environment);
  return Fail(program, strerror(errno));
}

int RunStandIn(char** argv, char** environment) {
  char path[PATH_MAX];
  ssize_t length = readlink("/proc/self/exe", path, sizeof path - sizeof kRunscStandIn);
  if (length < 0) return Fail("/proc/self/exe", strerror(errno));
  path[length] = '\0';
  strcpy(strrchr(path, '/') + 1, kRunscStandIn);
  return Execute(path, argv, environment);
}

int Main(char** argv, char** environment) {
  std::string_view name = argv[0] == nullptr ? "" : argv[0];
  if (name == kRunscName) return RunInPlace(argv, environment);
  if (name == kRunscGoferName) return RunStandIn(argv, environment);
  if (name.substr(name.rfind('/') + 1) == kRunscLoader) return OwnCommand(argv);
  // Another part of runsc: the sentry.
  return Execute(kRunscProgram, argv, environment);
}

}  // namespace
}  // namespace lisafs

int main(int, char** argv, char** environment) { return lisafs::Main(argv, environment); }
