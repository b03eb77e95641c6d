#include "tests/differential/own_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string>

namespace lisafs::differential {
namespace {

class OwnFile {
 public:
  explicit OwnFile(Worker& worker) : w_(worker), name_(w_.name()) { Open(O_CREAT | O_TRUNC); }

  void Run() {
    for (int step = 0; w_.GoesOn(); ++step) {
      Change();
      Compare(w_.Below(kMost), w_.Below(60'000));
      if (step % 100 == 0) Compare(0, kMost);
    }
    Compare(0, kMost);
  }

 private:
  static constexpr size_t kMost = 400'000;

  void Open(int flags) {
    if (fd_ >= 0) close(fd_);
    fd_ = open(name_.c_str(), O_RDWR | O_CLOEXEC | flags, 0600);
    w_.Expect(fd_ >= 0, "open");
  }
  void Put(size_t at, const std::string& bytes) {
    if (content_.size() < at + bytes.size()) content_.resize(at + bytes.size());
    content_.replace(at, bytes.size(), bytes);
  }

  void Change() {
    size_t at = w_.Below(kMost), length = 1 + w_.Below(w_.Below(4) == 0 ? 100'000 : 5000);
    length = std::min(length, kMost - at);
    auto offset = static_cast<off_t>(at), count = static_cast<off_t>(length);
    switch (w_.Below(16)) {
      case 0:
      case 1:
      case 2:
      case 3: {
        std::string bytes = w_.Bytes(length);
        w_.Expect(pwrite(fd_, bytes.data(), length, offset) == count, "pwrite");
        return Put(at, bytes);
      }
      case 4: {
        if (content_.size() + 3000 > kMost) return;
        int appending = open(name_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
        std::string bytes = w_.Bytes(3000);
        w_.Expect(write(appending, bytes.data(), bytes.size()) == 3000, "append");
        close(appending);
        return Put(content_.size(), bytes);
      }
      case 5:
      case 6: {
        if (content_.empty()) return;
        size_t from = at % content_.size(), size = std::min(length, content_.size() - from);
        char* memory = Map(PROT_READ | PROT_WRITE);
        std::string bytes = w_.Bytes(size);
        memcpy(memory + from, bytes.data(), size);
        munmap(memory, content_.size());
        return Put(from, bytes);
      }
      case 7:
        w_.Expect(ftruncate(fd_, offset) == 0, "ftruncate");
        return content_.resize(at);
      case 8:
        w_.Expect(fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, count) == 0, "punch");
        return Clear(at, length);
      case 9:
        if (fallocate(fd_, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, count) != 0) {
          return w_.Expect(errno == EOPNOTSUPP, "zero");
        }
        return Clear(at, length);
      case 10:
        w_.Expect(fallocate(fd_, 0, offset, count) == 0, "fallocate");
        return content_.resize(std::max(content_.size(), at + length));
      case 11: {
        size_t from = w_.Below(kMost);
        if (from >= content_.size() || (from < at + length && at < from + length)) return;
        size_t size = std::min(length, content_.size() - from);
        auto in = static_cast<off_t>(from);
        ssize_t n = copy_file_range(fd_, &in, fd_, &offset, size, 0);
        w_.Expect(n > 0, "copy_file_range");
        return Put(at, content_.substr(from, static_cast<size_t>(n)));
      }
      case 12:
        return Open(0);
      case 13: {
        std::string other = w_.name() + (name_ == w_.name() ? "-renamed" : "");
        w_.Expect(rename(name_.c_str(), other.c_str()) == 0, "rename");
        name_ = other;
        return;
      }
      case 14:
        return w_.Expect((w_.Below(2) ? fsync(fd_) : fdatasync(fd_)) == 0, "sync");
      case 15:
        posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED);
        return;
    }
  }

  void Clear(size_t at, size_t length) {
    if (at < content_.size()) content_.replace(at, length, std::min(length, content_.size() - at), '\0');
  }
  char* Map(int protection) {
    void* memory = mmap(nullptr, content_.size(), protection, MAP_SHARED, fd_, 0);
    w_.Expect(memory != MAP_FAILED, "mmap");
    return static_cast<char*>(memory);
  }
  void Compare(size_t at, size_t length) {
    struct stat stat;
    w_.Expect(fstat(fd_, &stat) == 0 && static_cast<size_t>(stat.st_size) == content_.size(), "the file's size");
    if (at >= content_.size()) return;
    length = std::min(length, content_.size() - at);
    std::string got(length, '\0');
    if (w_.Below(3) == 0) {
      char* memory = Map(PROT_READ);
      memcpy(got.data(), memory + at, length);
      munmap(memory, content_.size());
    } else {
      w_.Expect(pread(fd_, got.data(), length, static_cast<off_t>(at)) == static_cast<ssize_t>(length), "pread");
    }
    auto differs = std::ranges::mismatch(got, content_.substr(at, length)).in1;
    w_.Expect(differs == got.end(), "another byte at " + std::to_string(at + (differs - got.begin())));
  }

  Worker& w_;
  std::string name_, content_;
  int fd_ = -1;
};

}  // namespace

void KeepOwnFile(Worker& worker) { OwnFile(worker).Run(); }

}  // namespace lisafs::differential
