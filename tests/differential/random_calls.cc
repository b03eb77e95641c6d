#include "tests/differential/random_calls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "tests/differential/say.h"

namespace lisafs::differential {
namespace {

constexpr int kSlots = 6;
constexpr size_t kMaxFile = 300'000;
constexpr size_t kMaxTransfer = 40'000;

class Exerciser {
 public:
  explicit Exerciser(unsigned seed) : seed_(seed) { std::fill(fds_, fds_ + kSlots, -1); }

  void Step(int number);

 private:
  size_t Below(size_t n) { return random_() % n; }  // Unlike std's distributions, the same everywhere.
  bool OneIn(size_t n) { return Below(n) == 0; }

  // A path of one or two components, few enough that calls meet.
  std::string Path() {
    static const char* const kNames[] = {"a", "b", "c", "e", "f", "a-name-that-is-longer-than-the-others"};
    if (OneIn(200)) return std::string(256, 'x');
    std::string directory = OneIn(2) ? "dir" : "d";
    if (OneIn(15)) return directory;
    std::string name = kNames[Below(6)];
    return OneIn(3) ? name : directory + "/" + name;
  }
  int Slot() { return fds_[Below(kSlots)]; }
  // A file that is passed through loses set-id bits that it is given while it is open, also where native ones keep them
  // (docs/architecture.md).
  mode_t ModeFor(const struct stat& st, mode_t mode);
  off_t Offset() { return static_cast<off_t>(Below(OneIn(3) ? kMaxFile : 5000)); }
  size_t Length() { return Below(OneIn(3) ? kMaxTransfer : 500); }

  std::string Numbered(const std::string& call) { return std::to_string(number_) + " " + call; }
  void Say(const std::string& call, long result) { differential::Say(Numbered(call), result); }
  void SayData(const std::string& call, const char* data, ssize_t length) {
    differential::SayData(Numbered(call), data, length);
  }
  void SayStat(const std::string& call, int result, const struct stat& st) {
    differential::SayStat(Numbered(call), result, st);
  }
  const char* Pattern() {
    for (size_t i = 0; i < kMaxTransfer; i += 97) buffer_[i] = static_cast<char>(random_());
    return buffer_;
  }

  void Open();
  void Transfer();
  void Map();
  void Names();
  void Attributes();
  void ExtendedAttributes();
  void List();
  void Copy();

  const unsigned seed_;
  std::mt19937 random_;
  int number_ = 0;
  int fds_[kSlots];
  char buffer_[kMaxTransfer] = {};
};

void Exerciser::Open() {
  int flags = static_cast<int>(Below(3));  // O_RDONLY, O_WRONLY, O_RDWR
  if (OneIn(2)) flags |= O_CREAT;
  if (OneIn(6)) flags |= O_EXCL & (flags & O_CREAT ? ~0 : 0);
  if (OneIn(5)) flags |= O_TRUNC;
  if (OneIn(5)) flags |= O_APPEND;
  if (OneIn(10)) flags |= O_NOFOLLOW;
  if (OneIn(10)) flags = O_RDONLY | O_DIRECTORY;
  std::string path = Path();
  int fd = open(path.c_str(), flags | O_NONBLOCK | O_CLOEXEC, 0666);
  char text[64];
  snprintf(text, sizeof text, " flags %o", flags);
  Say("open " + path + text, fd < 0 ? -1 : 0);
  if (fd < 0) return;
  int& slot = fds_[Below(kSlots)];
  if (slot >= 0) close(slot);
  slot = fd;
}

void Exerciser::Transfer() {
  int fd = Slot();
  size_t length = Length();
  off_t offset = Offset();
  static char got[kMaxTransfer];
  switch (Below(9)) {
    case 0:
    case 1:
      return Say("write", write(fd, Pattern(), length));
    case 2:
    case 3:
      return Say("pwrite", pwrite(fd, Pattern(), length, offset));
    case 4: {
      ssize_t result = read(fd, got, length);
      return SayData("read", got, result);
    }
    case 5: {
      ssize_t result = pread(fd, got, length, offset);
      return SayData("pread", got, result);
    }
    case 6: {
      // Where one may seek to in a directory is the file system's business.
      struct stat st;
      if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) return;
      return Say("lseek", lseek(fd, offset, OneIn(2) ? SEEK_SET : SEEK_END));
    }
    case 7:
      return Say("ftruncate", ftruncate(fd, offset));
    case 8: {
      static const int kModes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE};
      int mode = kModes[Below(3)];
      return Say("fallocate " + std::to_string(mode), fallocate(fd, mode, offset, static_cast<off_t>(length) + 1));
    }
  }
}

void Exerciser::Map() {
  int fd = Slot();
  struct stat st;
  if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size == 0) return;
  bool change = OneIn(2);
  size_t size = static_cast<size_t>(st.st_size);
  void* memory = mmap(nullptr, size, PROT_READ | (change ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return Say("mmap", -1);
  char* bytes = static_cast<char*>(memory);
  if (change) {
    size_t start = Below(size);
    std::fill(bytes + start, bytes + std::min(size, start + 3000), static_cast<char>(random_()));
    Say("msync", msync(memory, size, OneIn(2) ? MS_SYNC : MS_ASYNC));
  }
  SayData("mapped", bytes, static_cast<ssize_t>(size));
  munmap(memory, size);
}

void Exerciser::Names() {
  std::string one = Path(), two = Path(), both = one + " " + two;
  switch (Below(10)) {
    case 0:
    case 1:
      return Say("mkdir " + one, mkdir(one.c_str(), 0777));
    case 2:
      return Say("rmdir " + one, rmdir(one.c_str()));
    case 3:
      return Say("unlink " + one, unlink(one.c_str()));
    case 4:
      return Say("rename " + both, rename(one.c_str(), two.c_str()));
    case 5: {
      unsigned flags = OneIn(2) ? RENAME_NOREPLACE : RENAME_EXCHANGE;
      return Say("renameat2 " + both, syscall(SYS_renameat2, AT_FDCWD, one.c_str(), AT_FDCWD, two.c_str(), flags));
    }
    case 6:
      return Say("link " + both, link(one.c_str(), two.c_str()));
    case 7:
      return Say("symlink " + both, symlink(one.c_str(), two.c_str()));
    case 8: {
      char target[300];
      ssize_t result = readlink(one.c_str(), target, sizeof target);
      return SayData("readlink " + one, target, result);
    }
    case 9:
      return Say("mkfifo " + one, mkfifo(one.c_str(), 0666));
  }
}

mode_t Exerciser::ModeFor(const struct stat& st, mode_t mode) {
  if (!S_ISREG(st.st_mode)) return mode;
  const bool is_open = std::any_of(fds_, fds_ + kSlots, [&](int fd) {
    struct stat open;
    return fstat(fd, &open) == 0 && open.st_dev == st.st_dev && open.st_ino == st.st_ino;
  });
  return is_open ? mode & ~(S_ISUID | S_ISGID) : mode;
}

void Exerciser::Attributes() {
  std::string path = Path();
  int fd = Slot();
  mode_t mode = static_cast<mode_t>(Below(010000));
  if (!(mode & S_IXGRP)) mode &= ~S_ISGID;  // Has no meaning, and goes by rules that differ.
  uid_t owner = OneIn(2) ? 0 : 1000;
  struct stat st = {};
  int result;
  switch (Below(10)) {
    case 0:
      if (stat(path.c_str(), &st) == 0) mode = ModeFor(st, mode);
      return Say("chmod " + path, chmod(path.c_str(), mode));
    case 1:
      if (fstat(fd, &st) == 0) mode = ModeFor(st, mode);
      return Say("fchmod", fchmod(fd, mode));
    case 2:
      return Say("chown " + path, lchown(path.c_str(), owner, owner));
    case 3:
      return Say("fchown", fchown(fd, owner, owner));
    case 4:
      return Say("truncate " + path, truncate(path.c_str(), Offset()));
    case 5: {
      timespec times[2] = {{.tv_sec = 1, .tv_nsec = UTIME_OMIT},
                           {.tv_sec = static_cast<time_t>(random_()), .tv_nsec = 123456789}};
      result = utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW);
      Say("utimens " + path, result);
      if (result == 0 && lstat(path.c_str(), &st) == 0)
        Say("mtime", st.st_mtim.tv_sec + (st.st_mtim.tv_nsec == 123456789 ? 0 : 1));
      return;
    }
    case 6:
      return Say("access " + path, faccessat(AT_FDCWD, path.c_str(), static_cast<int>(Below(8)), AT_EACCESS));
    case 7:
      result = stat(path.c_str(), &st);
      return SayStat("stat " + path, result, st);
    case 8:
      result = lstat(path.c_str(), &st);
      return SayStat("lstat " + path, result, st);
    case 9:
      result = fstat(fd, &st);
      return SayStat("fstat", result, st);
  }
}

void Exerciser::ExtendedAttributes() {
  std::string path = Path(), name = OneIn(2) ? "user.one" : "user.two";
  static char value[5000];
  switch (Below(4)) {
    case 0:
      return Say("setxattr " + path,
                 setxattr(path.c_str(), name.c_str(), Pattern(), Below(100), OneIn(3) ? XATTR_CREATE : 0));
    case 1: {
      ssize_t result = getxattr(path.c_str(), name.c_str(), value, OneIn(4) ? 0 : OneIn(4) ? 10 : sizeof value);
      return SayData("getxattr " + path, value, std::min<ssize_t>(result, 0) == 0 ? result : -1);
    }
    case 2:
      return Say("removexattr " + path, lremovexattr(path.c_str(), name.c_str()));
    case 3:
      return Say("listxattr " + path, llistxattr(path.c_str(), value, sizeof value));
  }
}

void Exerciser::List() {
  std::string path = OneIn(2) ? "." : OneIn(2) ? "dir" : "d";
  DIR* dir = opendir(path.c_str());
  if (dir == nullptr) return Say("opendir " + path, -1);
  std::vector<std::string> names;
  while (dirent* entry = readdir(dir))
    names.push_back(std::string(entry->d_name) + "/" + std::to_string(entry->d_type));
  closedir(dir);
  std::sort(names.begin(), names.end());
  std::string line;
  for (const std::string& name : names) line += " " + name;
  Say("list " + path + line, 0);
}

void Exerciser::Copy() {
  int from = Slot(), to = Slot();
  off_t in = Offset(), out = Offset();
  size_t length = Length();
  switch (Below(4)) {
    case 0: {
      // EXDEV and EOPNOTSUPP are the kernel's to choose between; what counts is the data.
      ssize_t result = copy_file_range(from, &in, to, &out, length, 0);
      if (result < 0 && (errno == EXDEV || errno == EOPNOTSUPP)) result = 0;
      return Say("copy_file_range", result);
    }
    case 1:
      return Say("sendfile", sendfile(to, from, &in, length));
    case 2:
      return Say("fsync", OneIn(2) ? fsync(from) : fdatasync(from));
    case 3:
      return Say("flock", flock(from, (OneIn(2) ? LOCK_EX : LOCK_UN) | LOCK_NB));
  }
}

void Exerciser::Step(int number) {
  number_ = number;
  random_.seed(seed_ * 1'000'003u + static_cast<unsigned>(number));
  if (number % 50 == 1) {  // Should they be gone.
    mkdir("d", 0777);
    mkdir("dir", 0777);
  }
  // Somebody else is at work for a while, now and then.
  uid_t user = number / 100 % 3 == 2 ? 1000 : 0;
  if (geteuid() != user) Check(seteuid(0) == 0 && seteuid(user) == 0, "becoming another user");
  switch (Below(20)) {
    case 0:
    case 1:
    case 2:
      return Open();
    case 3:
      return Map();
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
      return Names();
    case 9:
    case 10:
    case 11:
      return Attributes();
    case 12:
      return ExtendedAttributes();
    case 13:
      return List();
    case 14:
      return Copy();
    default:
      return Transfer();
  }
}

}  // namespace

void MakeRandomCalls(unsigned seed, const std::set<int>& steps) {
  umask(022);
  Exerciser exerciser(seed);
  for (int step : steps) exerciser.Step(step);
}

}  // namespace lisafs::differential
