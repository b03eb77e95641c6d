#include <fcntl.h>
#include <sys/mman.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <string>

#include "tests/differential/say.h"
#include "tests/differential/scenario.h"

// Where there is no room left: the call that needs it says so.

namespace lisafs::differential {
namespace {

void FullDisk() {
  int fd = open("file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  const std::string chunk(64 << 10, 'f');
  long written = 0;
  ssize_t n;
  while ((n = write(fd, chunk.data(), chunk.size())) > 0) written += n;
  SayOk("the write that does not fit", static_cast<int>(n));
  SayText("most of the room was used", written > (5 << 20) ? "yes" : "no");
  SayOk("sync", fsync(fd));
  Say("fallocate", fallocate(fd, 0, 0, 64 << 20));
  Say("a hole needs no room", ftruncate(fd, 64 << 20));
  Say("write into the hole", pwrite(fd, chunk.data(), chunk.size(), 32 << 20));
  Say("write over what is there", pwrite(fd, chunk.data(), chunk.size(), 0));
  int other = SayOk("another file", open("other", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  Say("write to it", write(other, chunk.data(), chunk.size()));
  Say("copy to it", copy_file_range(fd, nullptr, other, nullptr, 100'000, 0));
  SayStat("other");
  SayOk("close", close(other));
  SayOk("append", open("other", O_WRONLY | O_APPEND | O_CLOEXEC));
  Say("cut", ftruncate(fd, 1 << 20));
  other = open("other", O_RDWR | O_CLOEXEC);
  Say("write when there is room again", write(other, chunk.data(), chunk.size()));
  SayOk("unlink", unlink("file"));
  close(fd);
  SayContent("other");
}

void NoMoreFiles() {
  int made = 0;
  while (true) {
    int fd = open(("f" + std::to_string(made)).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) break;
    close(fd);
    ++made;
  }
  SayOk("the file that is too many", -1);
  SayText("most were made", made > 100 ? "yes" : "no");
  SayOk("mkdir", mkdir("dir", 0700));
  SayOk("symlink", symlink("x", "link"));
  SayOk("mkfifo", mkfifo("fifo", 0600));
  SayOk("tmpfile", open(".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
  SayOk("rename", rename("f0", "renamed"));
  SayOk("unlink", unlink("renamed"));
  SayOk("then there is room", mkdir("dir", 0700));
  for (int i = 1; i < made; ++i) Check(unlink(("f" + std::to_string(i)).c_str()) == 0, "clearing up");
}

void Quota() {
  MakeDirectory("theirs", 0777);
  As(1000, [] {
    int fd = open("theirs/file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    const std::string chunk(64 << 10, 'q');
    long written = 0;
    ssize_t n = 0;
    while (written < (3 << 20) && (n = write(fd, chunk.data(), chunk.size())) > 0) written += n;
    SayOk("the write beyond the quota", static_cast<int>(n));
    SayText("up to the quota", written > (900 << 10) && written <= (1 << 20) ? "yes" : "no");
    Say("fallocate", fallocate(fd, 0, 0, 2 << 20));
    SayOk("sync", fsync(fd));
    Say("cut", ftruncate(fd, 100));
    Say("write again", write(fd, chunk.data(), 100));
    close(fd);
  });
  MakeFile("others", std::string(2 << 20, 'o'));
  SayOk("giving too much away", chown("others", 1000, 1000));
  SayStat("others");
  Check(unlink("others") == 0, "clearing up");
}

}  // namespace

Group LimitScenarios() {
  return {"limits", {{"full-disk", FullDisk}, {"no-more-files", NoMoreFiles}, {"quota", Quota}}};
}

}  // namespace lisafs::differential
