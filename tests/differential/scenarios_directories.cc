#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/differential/say.h"
#include "tests/differential/scenario.h"

// Directories read, whole and in parts, while they change.

namespace lisafs::differential {
namespace {

void Listing() {
  MakeFile("file");
  MakeDirectory("dir");
  MakeLink("link", "file");
  Check(mkfifo("fifo", 0600) == 0, "a FIFO");
  MakeFile(std::string(255, 'n'));
  DIR* list = opendir(".");
  std::vector<std::string> lines;
  while (dirent* entry = readdir(list)) {
    struct stat stat;
    Check(lstat(entry->d_name, &stat) == 0, "stat");
    // What is above the directory may be another mount's, with another number there.
    bool same = entry->d_ino == stat.st_ino || strcmp(entry->d_name, "..") == 0;
    lines.push_back(std::string(entry->d_name) + " " + std::to_string(entry->d_type) + (same ? "" : " another inode"));
  }
  std::sort(lines.begin(), lines.end());
  for (const std::string& line : lines) SayText("entry", line);
  rewinddir(list);
  MakeFile("new");
  Check(unlink("file") == 0, "unlink");
  rewinddir(list);
  std::set<std::string> names;
  while (dirent* entry = readdir(list)) names.insert(entry->d_name);
  SayText("after rewinding", std::string(names.contains("new") ? "the new one" : "") +
                                 (names.contains("file") ? " and the removed one" : ""));
  closedir(list);
  SayOk("opendir of a file", opendir("new") ? 0 : -1);
  SayOk("opendir of what is missing", opendir("missing") ? 0 : -1);
  char buffer[1024];
  int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  Say("a buffer too small", syscall(SYS_getdents64, fd, buffer, 10));
  int file = open("new", O_RDONLY | O_CLOEXEC);
  Say("of a file", syscall(SYS_getdents64, file, buffer, sizeof buffer));
}

// Every position that was told leads to what came behind it.
void Positions() {
  for (int i = 0; i < 500; ++i) MakeFile("file" + std::to_string(i));
  DIR* list = opendir(".");
  std::vector<std::pair<long, std::string>> seen;
  while (true) {
    long at = telldir(list);
    dirent* entry = readdir(list);
    if (entry == nullptr) break;
    seen.push_back({at, entry->d_name});
  }
  Say("entries", static_cast<long>(seen.size()));
  int wrong = 0;
  for (size_t i = 0; i < seen.size(); i += 7) {
    seekdir(list, seen[i].first);
    dirent* entry = readdir(list);
    if (entry == nullptr || entry->d_name != seen[i].second) ++wrong;
  }
  Say("positions that lead elsewhere", wrong);
  closedir(list);
}

// `count` names that stay are in the directory, and others come and go while it is read: each one that stays is read
// exactly once.
void ReadWhileItChanges(const std::string& directory, int count, int rounds) {
  Check(chdir(directory.c_str()) == 0, "entering " + directory);
  pid_t child = fork();
  if (child == 0) {
    for (unsigned i = 0;; ++i) {
      std::string name = "moving-" + std::to_string(i % 3000);
      close(open(name.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
      if (i % 3 == 0) rename(name.c_str(), ("renamed-" + std::to_string(i % 3000)).c_str());
      if (i % 2 == 0) unlink(("moving-" + std::to_string((i + 1500) % 3000)).c_str());
    }
  }
  for (int round = 0; round < rounds; ++round) {
    std::map<std::string, int> seen;
    DIR* list = opendir(".");
    while (dirent* entry = readdir(list)) {
      if (strncmp(entry->d_name, "stable-", 7) == 0) ++seen[entry->d_name];
    }
    closedir(list);
    int more = 0;
    for (const auto& [name, times] : seen) more += times != 1;
    Say("names that stay", static_cast<long>(seen.size()) - count);
    Say("seen more than once", more);
  }
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  // What is left of the others depends on the moment.
  Check(system("rm -f moving-* renamed-*") == 0, "clearing up");
}

void Changing() {
  MakeDirectory("dir");
  for (int i = 0; i < 3000; ++i) MakeFile("dir/stable-" + std::to_string(i));
  ReadWhileItChanges("dir", 3000, 5);
}

// Whoever runs the test made the directory.
void Huge() {
  struct stat stat;
  if (lstat("dir", &stat) != 0) {
    SayText("skipped", "there is no directory of 100000 entries");
    return;
  }
  ReadWhileItChanges("dir", 100'000, 3);
}

}  // namespace

Group DirectoryScenarios() {
  return {"directories", {{"listing", Listing}, {"positions", Positions}, {"changing", Changing}, {"huge", Huge}}};
}

}  // namespace lisafs::differential
