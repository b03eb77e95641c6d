#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "tests/differential/say.h"
#include "tests/differential/scenario.h"

// What is in files: reading, writing, sizes, holes, copies.

namespace lisafs::differential {
namespace {

std::string Pattern(size_t size) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + i % 23 + i / 1000 % 3);
  return text;
}

void ReadAndWrite() {
  MakeFile("file", Pattern(300'000));
  int fd = open("file", O_RDWR | O_CLOEXEC);
  std::vector<char> buffer(2 << 20);
  for (size_t size : {0u, 1u, 4095u, 4096u, 4097u, 131'072u, 131'073u, 2u << 20}) {
    for (off_t offset : {0, 1, 4095, 299'999, 300'000, 300'001, 1 << 30}) {
      ssize_t n = pread(fd, buffer.data(), size, offset);
      SayData("pread " + std::to_string(size) + " at " + std::to_string(offset), buffer.data(), n);
    }
  }
  Say("pread before the beginning", pread(fd, buffer.data(), 1, -1));
  void* nowhere = mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  Say("pread into nowhere", pread(fd, nowhere, 10, 0));
  Say("pwrite from nowhere", pwrite(fd, nowhere, 10, 0));
  Say("pwrite before the beginning", pwrite(fd, "x", 1, -1));
  std::string more = Pattern(1 << 20);
  for (size_t size : {0u, 1u, 4096u, 5000u, 1u << 20}) {
    for (off_t offset : {0, 5, 4095, 299'999, 400'000}) {
      Say("pwrite " + std::to_string(size) + " at " + std::to_string(offset), pwrite(fd, more.data(), size, offset));
    }
    SayContent("file");
  }
  iovec parts[] = {{buffer.data(), 10}, {buffer.data() + 100, 0}, {buffer.data() + 200, 5000}};
  Say("readv", readv(fd, parts, 3));
  Say("position", lseek(fd, 0, SEEK_CUR));
  Say("writev", writev(fd, parts, 3));
  Say("preadv2", preadv2(fd, parts, 3, 100, 0));
  Say("preadv2 with no such flag", preadv2(fd, parts, 3, 100, 1 << 20));
  Say("pwritev2 dsync", pwritev2(fd, parts, 3, 100, RWF_DSYNC));
  Say("pwritev2 append", pwritev2(fd, parts, 1, 0, RWF_APPEND));
  Say("preadv2 high priority", preadv2(fd, parts, 3, 100, RWF_HIPRI));
  SayContent("file");
  int directory = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  Say("read of a directory", read(directory, buffer.data(), 10));
  int read_only = open("file", O_RDONLY | O_CLOEXEC), write_only = open("file", O_WRONLY | O_CLOEXEC);
  Say("write to a read-only", write(read_only, "x", 1));
  Say("ftruncate of a read-only", ftruncate(read_only, 1));
  Say("read of a write-only", read(write_only, buffer.data(), 1));
}

void Sizes() {
  MakeFile("file", Pattern(10'000));
  int fd = open("file", O_RDWR | O_CLOEXEC);
  for (off_t size : {off_t{9'999}, off_t{4096}, off_t{4097}, off_t{20'000}, off_t{0}, off_t{1} << 33, off_t{100},
                     off_t{-1}, off_t{LLONG_MAX}}) {
    Say("ftruncate " + std::to_string(size), ftruncate(fd, size));
    SayStat("file");
    if (size < 100'000) SayContent("file");
  }
  Say("far away", pwrite(fd, "end", 3, off_t{1} << 40));
  SayStat("file");
  Say("too far away", pwrite(fd, "end", 3, LLONG_MAX - 2));
  Say("truncate", truncate("file", 3));
  SayContent("file");
  MakeDirectory("dir");
  MakeLink("link", "file");
  for (const char* name : {"dir", "missing", "link", "file/"}) Say(std::string("truncate ") + name, truncate(name, 5));
  SayContent("file");
  // What lay behind the end is gone when the file grows again.
  Say("write", pwrite(fd, Pattern(5000).data(), 5000, 0));
  Say("cut", ftruncate(fd, 100));
  Say("grow", ftruncate(fd, 5000));
  SayContent("file");
}

void SizeLimit() {
  rlimit limit = {10'000, 10'000};
  Check(setrlimit(RLIMIT_FSIZE, &limit) == 0, "a limit");
  int fd = open("file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  std::string text = Pattern(8000);
  InChild([&] { Say("the limit's signal", pwrite(fd, text.data(), text.size(), 20'000)); });
  signal(SIGXFSZ, SIG_IGN);
  Say("write", write(fd, text.data(), text.size()));
  Say("write up to the limit", write(fd, text.data(), text.size()));
  Say("write beyond it", write(fd, text.data(), text.size()));
  Say("ftruncate beyond it", ftruncate(fd, 10'001));
  Say("fallocate beyond it", fallocate(fd, 0, 0, 10'001));
  Say("ftruncate up to it", ftruncate(fd, 10'000));
  SayContent("file");
}

void Allocate() {
  struct Mode {
    const char* name;
    int bits;
  };
  const Mode modes[] = {{"plain", 0},
                        {"keep", FALLOC_FL_KEEP_SIZE},
                        {"punch", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE},
                        {"punch alone", FALLOC_FL_PUNCH_HOLE},
                        {"zero", FALLOC_FL_ZERO_RANGE},
                        {"zero keep", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE},
                        {"no such", 1 << 20}};
  for (const Mode& mode : modes) {
    for (off_t offset : {0, 100, 4096, 30'000, 50'000}) {
      for (off_t length : {0, 1, 4096, 10'000}) {
        MakeFile("file", Pattern(40'000));
        int fd = open("file", O_RDWR | O_CLOEXEC);
        std::string what = std::string("fallocate ") + mode.name + " " + std::to_string(offset);
        Say(what + " " + std::to_string(length), fallocate(fd, mode.bits, offset, length));
        SayContent("file");
        close(fd);
      }
    }
  }
  int fd = open("file", O_RDONLY | O_CLOEXEC), directory = open(".", O_RDONLY | O_CLOEXEC);
  Say("of a read-only", fallocate(fd, 0, 0, 10));
  Say("of a directory", fallocate(directory, 0, 0, 10));
  Say("before the beginning", fallocate(fd, 0, -1, 10));
  MakeFile("sparse");
  fd = open("sparse", O_RDWR | O_CLOEXEC);
  Say("keeping the size", fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 100'000));
  struct stat stat = {};
  fstat(fd, &stat);
  SayText("space is taken", stat.st_blocks * 512 >= 100'000 ? "yes" : "no");
  SayText("by a file of", std::to_string(stat.st_size));
  Say("posix_fallocate", posix_fallocate(fd, 0, 10'000));
  SayStat("sparse");
}

void Holes() {
  int fd = open("file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  auto look = [fd](const char* when) {
    SayText("holes", when);
    for (off_t at : {0, 1, 65'536, 65'537, 131'072, 200'000, 262'143, 262'144, 300'000, -1}) {
      Say("data from " + std::to_string(at), lseek(fd, at, SEEK_DATA));
      Say("hole from " + std::to_string(at), lseek(fd, at, SEEK_HOLE));
    }
  };
  look("in nothing");
  Say("grow", ftruncate(fd, 262'144));
  look("in a hole");
  Say("write", pwrite(fd, Pattern(65'536).data(), 65'536, 65'536));
  SayOk("sync", fsync(fd));
  look("around data");
  Say("punch", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 65'536, 32'768));
  look("punched");
  for (int whence : {SEEK_SET, SEEK_CUR, SEEK_END, 77}) {
    for (off_t at : {0, 10, -10, -400'000}) {
      Say("seek " + std::to_string(at) + " " + std::to_string(whence), lseek(fd, at, whence));
    }
  }
}

void Copies() {
  MakeFile("from", Pattern(200'000));
  MakeFile("to", "target");
  int from = open("from", O_RDWR | O_CLOEXEC), to = open("to", O_RDWR | O_CLOEXEC);
  auto copy = [](const char* what, int in, off_t at, int out, off_t to_at, size_t length, unsigned flags = 0) {
    Say(std::string("copy_file_range ") + what, copy_file_range(in, &at, out, &to_at, length, flags));
  };
  copy("a part", from, 100, to, 3, 5000);
  SayContent("to");
  copy("the end", from, 199'000, to, 0, 5000);
  copy("past the end", from, 300'000, to, 0, 5000);
  copy("nothing", from, 0, to, 0, 0);
  copy("to far away", from, 0, to, 1 << 20, 10);
  copy("from before the beginning", from, -1, to, 0, 10);
  copy("onto itself", from, 0, from, 100, 1000);
  copy("within itself", from, 0, from, 150'000, 1000);
  copy("with a flag", from, 0, to, 0, 10, 1);
  SayContent("from");
  SayContent("to");
  Say("by position", copy_file_range(from, nullptr, to, nullptr, 1000, 0));
  Say("position", lseek(from, 0, SEEK_CUR));
  Say("position of the other", lseek(to, 0, SEEK_CUR));
  int read_only = open("to", O_RDONLY | O_CLOEXEC), append = open("to", O_WRONLY | O_APPEND | O_CLOEXEC);
  int write_only = open("from", O_WRONLY | O_CLOEXEC), directory = open(".", O_RDONLY | O_CLOEXEC);
  copy("to a read-only", from, 0, read_only, 0, 10);
  copy("to one that appends", from, 0, append, 0, 10);
  copy("from a write-only", write_only, 0, to, 0, 10);
  copy("from a directory", directory, 0, to, 0, 10);
  SayContent("to");

  Check(ftruncate(to, 0) == 0 && lseek(to, 0, SEEK_SET) == 0, "starting again");
  off_t at = 100;
  Say("sendfile", sendfile(to, from, &at, 150'000));
  Say("position", at);
  at = 199'990;
  Say("sendfile at the end", sendfile(to, from, &at, 1000));
  SayContent("to");
  int ends[2];
  Check(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0, "a pipe");
  loff_t offset = 50;
  Say("splice out", splice(from, &offset, ends[1], nullptr, 10'000, 0));
  int other[2];
  Check(pipe2(other, O_CLOEXEC | O_NONBLOCK) == 0, "another pipe");
  Say("tee", tee(ends[0], other[1], 5000, 0));
  offset = 1000;
  Say("splice in", splice(ends[0], nullptr, to, &offset, 10'000, SPLICE_F_MOVE));
  Say("splice in by position", splice(other[0], nullptr, to, nullptr, 5000, 0));
  SayContent("to");
  Say("splice to one that appends", splice(other[0], nullptr, append, nullptr, 10, 0));
  Say("splice from file to file", splice(from, nullptr, to, nullptr, 10, 0));
  SayOk("advice", posix_fadvise(from, 0, 0, POSIX_FADV_DONTNEED));
  SayOk("read ahead", static_cast<int>(readahead(from, 0, 10'000)));
  SayOk("sync of a range", sync_file_range(to, 0, 0, SYNC_FILE_RANGE_WRITE));
  SayOk("syncfs", syncfs(to));
  SayOk("fdatasync", fdatasync(to));
  SayOk("fsync of a directory", fsync(directory));
}

// What one descriptor writes the other reads, whatever each was opened for, and after the name has gone.
void ManyDescriptors() {
  MakeFile("file", "0123456789");
  int one = open("file", O_RDWR | O_CLOEXEC), two = open("file", O_RDONLY | O_CLOEXEC);
  int three = open("file", O_WRONLY | O_SYNC | O_CLOEXEC);
  char buffer[20] = {};
  Say("write", pwrite(one, "one", 3, 0));
  ssize_t n = pread(two, buffer, 10, 0);
  SayData("read", buffer, n);
  Say("write synchronously", pwrite(three, "three", 5, 5));
  n = pread(one, buffer, 20, 0);
  SayData("read", buffer, n);
  InChild([&] {
    Say("write in a child", write(one, "child", 5));
    SayOk("open in a child", open("file", O_RDWR | O_TRUNC | O_CLOEXEC));
  });
  Say("position is shared", lseek(one, 0, SEEK_CUR));
  n = pread(two, buffer, 20, 0);
  SayData("read after truncation", buffer, n);
  Say("write", write(one, "more", 4));
  SayContent("file");
  SayOk("unlink", unlink("file"));
  Say("write to the deleted", pwrite(one, "deleted", 7, 0));
  n = pread(two, buffer, 20, 0);
  SayData("read of the deleted", buffer, n);
  struct stat stat = {};
  int result = fstat(two, &stat);
  SayStat("the deleted", result, stat);
  MakeFile("file", "another");
  n = pread(two, buffer, 20, 0);
  SayData("read of the deleted again", buffer, n);
  SayContent("file");
}

}  // namespace

Group DataScenarios() {
  return {"data",
          {{"read-and-write", ReadAndWrite},
           {"sizes", Sizes},
           {"size-limit", SizeLimit},
           {"allocate", Allocate},
           {"holes", Holes},
           {"copies", Copies},
           {"many-descriptors", ManyDescriptors}}};
}

}  // namespace lisafs::differential
