#include "sandbox/elf_image.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

namespace lisafs {
namespace {

// What a static program says that is entered in place, in a child.
std::string RunInPlace(const char* path, std::vector<const char*> arguments) {
  int ends[2];
  if (pipe(ends) != 0) return "no pipe";
  pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDOUT_FILENO);
    ElfImage image;
    if (const char* why = image.Map(path)) {
      dprintf(STDOUT_FILENO, "%s", why);
      _exit(0);
    }
    arguments.push_back(nullptr);
    image.Enter(path, const_cast<char**>(arguments.data()), environ);
  }
  close(ends[1]);
  std::string said;
  char buffer[256];
  for (ssize_t size; (size = read(ends[0], buffer, sizeof buffer)) > 0;) said.append(buffer, size);
  close(ends[0]);
  int status = -1;
  waitpid(child, &status, 0);
  return status == 0 ? said : said + " (status " + std::to_string(status) + ")";
}

TEST(ElfImage, BecomesAStaticProgram) {
  constexpr char kBusybox[] = "/bin/busybox";
  if (access(kBusybox, X_OK) != 0) GTEST_SKIP() << "there is no " << kBusybox << " (Debian's package busybox-static)";
  EXPECT_EQ(RunInPlace(kBusybox, {"busybox", "echo", "in", "place"}), "in place\n");
  // With its arguments; and for the kernel it is the program that it was.
  EXPECT_EQ(RunInPlace(kBusybox, {"sh", "-c", "echo $0 $#", "zero", "one"}), "zero 1\n");
  std::string own(256, '\0');
  own.resize(readlink("/proc/self/exe", own.data(), own.size()));
  EXPECT_EQ(RunInPlace(kBusybox, {"sh", "-c", "readlink /proc/$$/exe"}), own + "\n");
}

TEST(ElfImage, SaysWhatItCannotRun) {
  std::string text = std::string(getenv("TEST_TMPDIR")) + "/text";
  std::ofstream(text) << std::string(1000, 'x');
  std::string cut = std::string(getenv("TEST_TMPDIR")) + "/cut";
  std::ifstream self("/proc/self/exe", std::ios::binary);
  std::string start(64, '\0');
  self.read(start.data(), 64);
  std::ofstream(cut, std::ios::binary) << start;

  EXPECT_STREQ(ElfImage().Map("/does/not/exist"), "No such file or directory");
  EXPECT_STREQ(ElfImage().Map(text.c_str()), "not a program of this machine");
  EXPECT_STREQ(ElfImage().Map(cut.c_str()), "its program headers cannot be read");
  EXPECT_STREQ(ElfImage().Map("/bin/ls"), "is linked dynamically; a static one is needed");
}

}  // namespace
}  // namespace lisafs
