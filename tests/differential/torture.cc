#include "tests/differential/torture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "tests/differential/own_file.h"
#include "tests/differential/say.h"
#include "tests/differential/worker.h"

namespace lisafs::differential {
namespace {

// Records that everybody changes, each under a lock.
struct Record {
  static constexpr size_t kCount = 64;
  uint64_t changes;
  uint64_t sum;
  char filler[4080];

  uint64_t Sum() const {
    uint64_t sum = changes * 0x9e3779b97f4a7c15;
    for (char c : filler) sum = (sum ^ static_cast<unsigned char>(c)) * 1099511628211u;
    return sum;
  }
};
constexpr char kRecords[] = "records";

void ChangeRecords(Worker& w) {
  int fd = open(kRecords, O_RDWR | O_CLOEXEC);
  void* memory = mmap(nullptr, sizeof(Record) * Record::kCount, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  w.Expect(fd >= 0 && memory != MAP_FAILED, "the records");
  auto* mapped = static_cast<Record*>(memory);
  while (w.GoesOn()) {
    size_t which = w.Below(Record::kCount);
    auto at = static_cast<off_t>(which * sizeof(Record));
    const int command = w.Below(2) ? F_SETLKW : F_OFD_SETLKW;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = sizeof(Record), .l_pid = 0};
    w.Expect(fcntl(fd, command, &lock) == 0, "lock");
    Record record;
    if (w.Below(2)) {
      memcpy(&record, &mapped[which], sizeof record);
    } else {
      w.Expect(pread(fd, &record, sizeof record, at) == sizeof record, "reading a record");
    }
    w.Expect(record.sum == record.Sum(), "record " + std::to_string(which) + " is torn");
    ++record.changes;
    memset(record.filler, static_cast<int>(w.Below(256)), sizeof record.filler);
    record.sum = record.Sum();
    if (w.Below(2)) {
      memcpy(&mapped[which], &record, sizeof record);
    } else {
      w.Expect(pwrite(fd, &record, sizeof record, at) == sizeof record, "writing a record");
    }
    Worker::shared->changes.fetch_add(1);
    lock.l_type = F_UNLCK;
    w.Expect(fcntl(fd, command, &lock) == 0, "unlock");
  }
}

// The sum of all changes; -1 if a record is not whole.
int64_t SumRecords() {
  int fd = open(kRecords, O_RDONLY | O_CLOEXEC);
  int64_t sum = 0;
  for (size_t i = 0; i < Record::kCount; ++i) {
    Record record;
    if (read(fd, &record, sizeof record) != sizeof record || record.sum != record.Sum()) return -1;
    sum += static_cast<int64_t>(record.changes);
  }
  close(fd);
  return sum;
}

// A file that is replaced by a rename is one or the other, never older than before.
constexpr char kCurrent[] = "current";

void Replace(Worker& w) {
  for (uint64_t generation = 1; w.GoesOn(); ++generation) {
    std::string text(5000 + w.Below(20'000), static_cast<char>('a' + generation % 26));
    text = std::to_string(generation) + " " + text + "\n";
    int fd = open("next", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    w.Expect(write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()), "writing the next");
    if (w.Below(10) == 0) w.Expect(fsync(fd) == 0, "fsync");
    w.Expect(close(fd) == 0 && rename("next", kCurrent) == 0, "replacing");
  }
}

// The generation that is there, 0 if there is none; -1 if it is not whole.
int64_t Generation() {
  int fd = open(kCurrent, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT ? 0 : -1;
  std::string text(40'000, '\0');
  ssize_t n = read(fd, text.data(), text.size());
  close(fd);
  if (n <= 0 || text[static_cast<size_t>(n) - 1] != '\n') return -1;
  int64_t generation = atoll(text.c_str());
  size_t begin = text.find(' ') + 1;
  const char letter = static_cast<char>('a' + generation % 26);
  return std::all_of(text.begin() + static_cast<ptrdiff_t>(begin), text.begin() + n - 1,
                     [&](char c) { return c == letter; })
             ? generation
             : -1;
}

void ReadWhatIsReplaced(Worker& w) {
  for (int64_t last = 0; w.GoesOn();) {
    int64_t now = Generation();
    w.Expect(now >= last, "generation " + std::to_string(now) + " after " + std::to_string(last));
    last = now;
  }
}

// Names come and go in a few directories, by several processes; nothing but the ordinary can happen.
void ChangeNames(Worker& w) {
  static const std::set<int> kOrdinary = {0,      ENOENT, EEXIST, ENOTDIR, EISDIR, ENOTEMPTY,
                                          EINVAL, ELOOP,  EPERM,  EMLINK,  ENXIO,  EBUSY};
  auto path = [&] {
    std::string name = "tree";
    for (size_t depth = w.Below(3); depth > 0; --depth) name += "/d" + std::to_string(w.Below(4));
    return name + "/n" + std::to_string(w.Below(12));
  };
  auto directory = [&] {
    std::string name = "tree/d" + std::to_string(w.Below(4));
    return w.Below(2) ? name : name + "/d" + std::to_string(w.Below(4));
  };
  while (w.GoesOn()) {
    std::string one = path(), two = path();
    int result = 0;
    switch (w.Below(10)) {
      case 0:
        result = mkdir(directory().c_str(), 0700);
        break;
      case 1:
        result = rmdir(directory().c_str());
        break;
      case 2:
        result = unlink(one.c_str());
        break;
      case 3:
        result = rename(one.c_str(), two.c_str());
        break;
      case 4:
        result = rename(directory().c_str(), directory().c_str());
        break;
      case 5:
        result = link(one.c_str(), two.c_str());
        break;
      case 6:
        result = symlink("n1", one.c_str());
        break;
      case 7:
        result = renameat2(AT_FDCWD, one.c_str(), AT_FDCWD, two.c_str(), RENAME_EXCHANGE);
        break;
      case 8: {
        struct stat stat;
        result = lstat(one.c_str(), &stat);
        break;
      }
      case 9: {
        int fd = open(one.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        result = fd;
        if (fd >= 0) {
          // All that anybody writes into these.
          char byte = 'n';
          w.Expect(pwrite(fd, "n", 1, 0) == 1 && pread(fd, &byte, 1, 0) == 1 && byte == 'n', "a file of " + one);
          close(fd);
        }
        break;
      }
    }
    w.Expect(result >= 0 || kOrdinary.contains(errno), "an error with " + one + " and " + two);
  }
}

// Names that stay are listed once each while others come and go.
constexpr int kStaying = 2000;

void ListWhileItChanges(Worker& w) {
  for (unsigned i = 0; w.GoesOn(); ++i) {
    for (unsigned j = 0; j < 200; ++j) {
      std::string name = "list/moving-" + std::to_string(w.Below(500));
      if (w.Below(2)) {
        close(open(name.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
      } else {
        unlink(name.c_str());
      }
    }
    std::map<std::string, int> seen;
    DIR* list = opendir("list");
    w.Expect(list != nullptr, "opendir");
    while (dirent* entry = readdir(list)) {
      if (strncmp(entry->d_name, "stable-", 7) == 0) ++seen[entry->d_name];
    }
    closedir(list);
    w.Expect(seen.size() == kStaying, "names that stay: " + std::to_string(seen.size()));
    for (const auto& [name, times] : seen) w.Expect(times == 1, name + " is there more than once");
  }
}

void Prepare() {
  std::string records;
  for (size_t i = 0; i < Record::kCount; ++i) {
    Record record = {};
    record.sum = record.Sum();
    records.append(reinterpret_cast<const char*>(&record), sizeof record);
  }
  MakeFile(kRecords, records);
  MakeDirectory("tree");
  MakeDirectory("list");
  for (int i = 0; i < kStaying; ++i) MakeFile("list/stable-" + std::to_string(i));
  void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  Check(memory != MAP_FAILED, "memory");
  Worker::shared = new (memory) Shared();
}

}  // namespace

bool Torture(int seconds, unsigned seed) {
  Prepare();
  const std::pair<const char*, void (*)(Worker&)> jobs[] = {
      {"own-1", [](Worker& w) { KeepOwnFile(w); }},
      {"own-2", [](Worker& w) { KeepOwnFile(w); }},
      {"records-1", ChangeRecords},
      {"records-2", ChangeRecords},
      {"records-3", ChangeRecords},
      {"replace", Replace},
      {"replaced-1", ReadWhatIsReplaced},
      {"replaced-2", ReadWhatIsReplaced},
      {"names-1", ChangeNames},
      {"names-2", ChangeNames},
      {"names-3", ChangeNames},
      {"list-1", ListWhileItChanges},
      {"list-2", ListWhileItChanges},
  };
  Shared* const shared = Worker::shared;
  const time_t end = time(nullptr) + seconds;
  for (const auto& [name, job] : jobs) {
    ++seed;
    pid_t child = fork();
    Check(child >= 0, "a process");
    if (child != 0) continue;
    Worker worker(name, seed, end);
    job(worker);
    _exit(0);
  }
  int status = 0;
  while (wait(&status) > 0) {
    if (status == 0) continue;
    shared->failed = true;
    SayText("a process ended with status", std::to_string(status));
  }
  const int64_t sum = SumRecords();
  if (sum != static_cast<int64_t>(shared->changes)) {
    shared->failed = true;
    SayText("changes of records", std::to_string(sum) + " rather than " + std::to_string(shared->changes));
  }
  SayText("steps", std::to_string(shared->steps));
  return !shared->failed && LeftWhole();
}

bool LeftWhole() {
  const int64_t sum = SumRecords(), generation = Generation();
  if (sum <= 0) SayText("records", "not whole");
  if (generation <= 0) SayText("the file that was replaced", "not whole");
  return sum > 0 && generation > 0;
}

}  // namespace lisafs::differential
