#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "tests/differential/say.h"
#include "tests/differential/scenario.h"

// Files in memory: what is written there is read elsewhere, and the other way round.

namespace lisafs::differential {
namespace {

char* Map(int fd, size_t size, int protection = PROT_READ | PROT_WRITE, int flags = MAP_SHARED) {
  void* memory = mmap(nullptr, size, protection, flags, fd, 0);
  SayOk("mmap", memory == MAP_FAILED ? -1 : 0);
  return memory == MAP_FAILED ? nullptr : static_cast<char*>(memory);
}

void Coherence() {
  MakeFile("file", std::string(20'000, '.'));
  int fd = open("file", O_RDWR | O_CLOEXEC), other = open("file", O_RDWR | O_CLOEXEC);
  char* memory = Map(fd, 20'000);
  char buffer[100];
  memcpy(memory + 4090, "written in memory", 17);
  ssize_t n = pread(other, buffer, 30, 4085);
  SayData("read what was written in memory", buffer, n);
  Say("write", pwrite(other, "written to the file", 19, 8190));
  SayData("in memory", memory + 8185, 30);
  InChild([&] {
    char* mine = Map(other, 20'000);
    memcpy(mine + 100, "from a child", 12);
    SayData("what the parent wrote", mine + 4090, 20);
  });
  SayData("what the child wrote", memory + 100, 12);
  SayOk("msync", msync(memory, 20'000, MS_SYNC));
  SayContent("file");
  memcpy(memory, "not synced", 10);
  SayOk("munmap", munmap(memory, 20'000));
  SayContent("file");
  close(fd);
  close(other);
  SayContent("file");
}

void Private() {
  MakeFile("file", std::string(10'000, 'p'));
  int fd = open("file", O_RDONLY | O_CLOEXEC);
  char* memory = Map(fd, 10'000, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  memcpy(memory, "mine alone", 10);
  SayContent("file");
  int writer = open("file", O_WRONLY | O_CLOEXEC);
  Say("write", pwrite(writer, "to the file", 11, 5000));
  SayData("a page not touched", memory + 5000, 11);
  SayData("a page of mine", memory, 10);
  Map(fd, 10'000, PROT_READ | PROT_WRITE, MAP_SHARED);
  Map(writer, 10'000, PROT_READ, MAP_SHARED);
  Map(writer, 10'000, PROT_WRITE, MAP_SHARED);
  Map(fd, 0);
  Map(fd, 10'000, PROT_READ | PROT_EXEC, MAP_PRIVATE);
  char* shared = Map(fd, 10'000, PROT_READ, MAP_SHARED);
  SayOk("mprotect for writing", mprotect(shared, 10'000, PROT_READ | PROT_WRITE));
}

sigjmp_buf escape;
void Escape(int) { siglongjmp(escape, 1); }

std::string Touch(volatile char* at, bool change) {
  if (sigsetjmp(escape, 1) != 0) return "SIGBUS";
  if (change) *at = 'x';
  return std::string("\"") + (*at == '\0' ? '0' : *at) + "\"";
}

void Truncation() {
  signal(SIGBUS, Escape);
  MakeFile("file", std::string(12'000, 't'));
  int fd = open("file", O_RDWR | O_CLOEXEC);
  char* memory = Map(fd, 20'000);
  SayText("inside", Touch(memory + 11'999, false));
  SayText("behind the end, on its page", Touch(memory + 12'100, true));
  SayText("on the page behind", Touch(memory + 12'288, false));
  Say("truncate", ftruncate(fd, 5000));
  SayText("before the new end", Touch(memory + 4999, false));
  SayText("what is gone", Touch(memory + 9000, false));
  SayText("on the last page", Touch(memory + 5001, false));
  Say("grow", ftruncate(fd, 16'384));
  SayText("where the old bytes were", Touch(memory + 9000, false));
  SayText("writing there", Touch(memory + 12'300, true));
  SayOk("msync", msync(memory, 16'384, MS_SYNC));
  SayContent("file");
  SayText("behind the end", Touch(memory + 16'384, true));
}

void Deleted() {
  MakeFile("file", std::string(8192, 'd'));
  int fd = open("file", O_RDWR | O_CLOEXEC);
  char* memory = Map(fd, 8192);
  Check(unlink("file") == 0, "unlink");
  close(fd);
  memcpy(memory + 4000, "still there", 11);
  SayData("in memory", memory + 3990, 30);
  SayOk("msync", msync(memory, 8192, MS_SYNC));
  MakeFile("file", "another");
  SayData("in memory", memory, 8192);
  SayContent("file");
  SayOk("munmap", munmap(memory, 8192));
}

void TimesOfMapping() {
  MakeFile("file", std::string(8192, 'd'));
  int fd = open("file", O_RDWR | O_CLOEXEC);
  char* memory = Map(fd, 8192);
  Times times("file");
  memory[100] = 'x';
  SayOk("msync", msync(memory, 8192, MS_SYNC));
  times.Say("writing in memory, and a sync,");
  SayOk("msync", msync(memory, 8192, MS_SYNC));
  times.Say("a sync of nothing");
}

void Advice() {
  MakeFile("file", std::string(1 << 20, 'a'));
  int fd = open("file", O_RDWR | O_CLOEXEC);
  char* memory = Map(fd, 1 << 20);
  memory[70'000] = 'b';
  for (int advice :
       {MADV_WILLNEED, MADV_SEQUENTIAL, MADV_RANDOM, MADV_DONTNEED, MADV_REMOVE, MADV_COLD, MADV_PAGEOUT}) {
    SayOk("madvise " + std::to_string(advice), madvise(memory, 1 << 20, advice));
  }
  SayData("what is left", memory, 1 << 20);
  SayOk("mlock", mlock(memory, 4096));
  void* moved = mremap(memory, 1 << 20, 2 << 20, MREMAP_MAYMOVE);
  SayOk("mremap", moved == MAP_FAILED ? -1 : 0);
}

}  // namespace

Group MappingScenarios() {
  return {"mappings",
          {{"coherence", Coherence},
           {"private", Private},
           {"truncation", Truncation},
           {"deleted", Deleted},
           {"times-of-mapping", TimesOfMapping},
           {"advice", Advice}}};
}

}  // namespace lisafs::differential
