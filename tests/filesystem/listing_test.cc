// Listing directories while they change: what stays is listed exactly once, and what was made or removed before
// somebody began is there or not.

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "tests/filesystem/mounted_directory.h"

namespace lisafs::tests {
namespace {

using std::chrono::steady_clock;

// Names that come and go belong to one thread each: it knows which of them are there.
class Changing {
 public:
  Changing(std::string directory, int staying, std::chrono::seconds duration)
      : directory_(std::move(directory)), staying_(staying), end_(steady_clock::now() + duration) {}

  static std::string Staying(int i) { return "stays-" + std::to_string(i); }

  // Makes, removes, renames and replaces names, and lists all after each few.
  void ChangeAndList(int thread, int changes) {
    std::mt19937 random(static_cast<unsigned>(thread));
    const std::string prefix = "of-" + std::to_string(thread) + "-";
    std::set<std::string> mine;
    while (GoesOn()) {
      for (int i = 0; i < changes; ++i) {
        const std::string name = prefix + std::to_string(random() % 40), other = prefix + std::to_string(random() % 40);
        const bool is_there = mine.contains(name);
        if (is_there && random() % 3 == 0) {
          Expect(rename(Path(name).c_str(), Path(other).c_str()) == 0, "rename " + name);
          mine.erase(name);
          mine.insert(other);
        } else if (is_there) {
          Expect(unlink(Path(name).c_str()) == 0, "unlink " + name);
          mine.erase(name);
        } else {
          Expect(mknod(Path(name).c_str(), S_IFREG | 0600, 0) == 0, "mknod " + name);
          mine.insert(name);
        }
      }
      List(random, [&](const std::map<std::string, int>& seen) {
        for (const std::string& name : mine) Expect(seen.contains(name), name + " is missing");
        for (auto& [name, times] : seen) {
          if (name.starts_with(prefix)) Expect(mine.contains(name), name + " was removed");
        }
      });
    }
  }
  void JustList(int thread) {
    std::mt19937 random(static_cast<unsigned>(thread));
    while (GoesOn()) List(random, [](const auto&) {});
  }
  // Stops before the end, and looks at attributes.
  void ListInPart(int thread) {
    std::mt19937 random(static_cast<unsigned>(thread));
    std::vector<char> buffer(64 << 10);
    while (GoesOn()) {
      Fd list(open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      for (unsigned parts = random() % 4; parts > 0; --parts) {
        if (getdents64(list.get(), buffer.data(), 512 << random() % 7) <= 0) break;
        struct stat stat;
        Expect(lstat(Path(Staying(static_cast<int>(random() % static_cast<unsigned>(staying_)))).c_str(), &stat) == 0,
               "stat");
      }
      usleep(random() % 2000);
    }
  }

  // What others change shows soon.
  void ChangeOnHost(const std::string& host) {
    const std::string name = "on-host", path = host + "/" + name;
    auto shows = [&](bool is_there) {
      const auto start = steady_clock::now();
      bool found = !is_there;
      // One listing that began late enough has to be right, however long it took.
      for (auto began = start; found != is_there && began - start < std::chrono::seconds(5);) {
        began = steady_clock::now();
        DIR* list = opendir(directory_.c_str());
        Expect(list != nullptr, "opendir");
        found = false;
        while (const dirent* entry = readdir(list)) found = found || entry->d_name == name;
        closedir(list);
      }
      Expect(found == is_there, is_there ? "what the host has made does not show" : "what the host has removed shows");
    };
    while (GoesOn()) {
      Expect(mknod(path.c_str(), S_IFREG | 0600, 0) == 0, "mknod on the host");
      shows(true);
      Expect(unlink(path.c_str()) == 0, "unlink on the host");
      shows(false);
    }
  }

  int lists() const { return lists_; }
  const std::set<std::string>& wrong() const { return wrong_; }

 private:
  // Until its time is over and, on a busy machine, until all was listed often enough.
  bool GoesOn() const { return steady_clock::now() < end_ || lists_ <= kLeastLists; }
  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  void Expect(bool is_so, const std::string& what) {
    if (is_so) return;
    std::lock_guard lock(mutex_);
    wrong_.insert(what + (errno != 0 ? std::string(": ") + strerror(errno) : ""));
  }
  // All at once, or in small pieces, in between from a position that was remembered.
  template <typename F>
  void List(std::mt19937& random, F&& check) {
    errno = 0;
    std::vector<char> buffer(size_t{1} << (9 + random() % 8));
    Fd list(open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    Expect(static_cast<bool>(list), "open");
    for (unsigned times = 1 + random() % 2; times > 0; --times) {
      std::map<std::string, int> seen;
      while (true) {
        ssize_t n = getdents64(list.get(), buffer.data(), buffer.size());
        Expect(n >= 0, "getdents");
        if (n <= 0) break;
        off_t next = 0;
        for (ssize_t at = 0; at < n;) {
          const auto& entry = *reinterpret_cast<const dirent64*>(buffer.data() + at);
          ++seen[entry.d_name];
          at += entry.d_reclen;
          next = entry.d_off;
          // What was given behind it is given again.
          if (at < n && random() % 500 == 0) break;
        }
        Expect(lseek(list.get(), next, SEEK_SET) == next, "seek");
      }
      int staying = 0;
      for (auto& [name, times] : seen) {
        staying += name.starts_with("stays-");
        if (name.starts_with("stays-")) Expect(times == 1, name + " is there " + std::to_string(times) + " times");
      }
      Expect(staying == staying_, std::to_string(staying_ - staying) + " names that stay are missing");
      check(seen);
      ++lists_;
      Expect(lseek(list.get(), 0, SEEK_SET) == 0, "rewind");
    }
  }

  static constexpr int kLeastLists = 20;

  const std::string directory_;
  const int staying_;
  const steady_clock::time_point end_;
  std::atomic<int> lists_ = 0;
  std::mutex mutex_;
  std::set<std::string> wrong_;
};

struct Shape {
  const char* name;
  bool exclusive;
  int staying;
  int changers, readers, partial;
  int changes;  // Between two listings of who changes.
};
std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << shape.name; }

class ListingTest : public testing::TestWithParam<Shape> {};
INSTANTIATE_TEST_SUITE_P(Shapes, ListingTest,
                         testing::Values(Shape{"Few", true, 20, 3, 3, 1, 1}, Shape{"Some", true, 1000, 3, 2, 1, 5},
                                         Shape{"Many", true, 100'000, 1, 2, 0, 200},
                                         Shape{"FewShared", false, 20, 3, 3, 1, 1},
                                         Shape{"FewQuietShared", false, 20, 0, 3, 1, 1},
                                         Shape{"ManyShared", false, 100'000, 1, 2, 0, 200}),
                         [](const auto& info) { return info.param.name; });

TEST_P(ListingTest, IsExactWhileTheDirectoryChanges) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  const Shape& shape = GetParam();
  MountedDirectory files({.exclusive = shape.exclusive, .watch = !shape.exclusive});
  ASSERT_TRUE(files.ok());
  MakeDirectory(files.OnHost("d"));
  for (int i = 0; i < shape.staying; ++i) {
    ASSERT_EQ(mknod(files.OnHost("d/" + Changing::Staying(i)).c_str(), S_IFREG | 0600, 0), 0);
  }
  const char* given = getenv("LISAFS_TEST_LONG");
  Changing changing(files / "d", shape.staying, std::chrono::seconds(given != nullptr ? 300 : 10));
  std::vector<std::thread> threads;
  for (int i = 0; i < shape.changers; ++i) {
    threads.emplace_back(
        [&, thread = static_cast<int>(threads.size())] { changing.ChangeAndList(thread, shape.changes); });
  }
  for (int i = 0; i < shape.readers; ++i) {
    threads.emplace_back([&, thread = static_cast<int>(threads.size())] { changing.JustList(thread); });
  }
  for (int i = 0; i < shape.partial; ++i) {
    threads.emplace_back([&, thread = static_cast<int>(threads.size())] { changing.ListInPart(thread); });
  }
  if (!shape.exclusive) threads.emplace_back([&] { changing.ChangeOnHost(files.OnHost("d")); });
  for (std::thread& thread : threads) thread.join();
  RecordProperty("lists", changing.lists());
  std::string wrong;
  for (const std::string& what : changing.wrong()) wrong += what + "\n";
  EXPECT_EQ(wrong, "");
}

// What is cached of a directory that was not listed to the end is of use again once it changes.
TEST(ListingCacheTest, RecoversFromWhoStopsBeforeTheEnd) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  MountedDirectory files({.exclusive = true});
  ASSERT_TRUE(files.ok());
  if (files.io_uring()) GTEST_SKIP() << "requests cannot be counted";
  MakeDirectory(files.OnHost("d"));
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(mknod(files.OnHost("d/" + std::to_string(i)).c_str(), S_IFREG | 0600, 0), 0);
  }
  auto list_some = [&] {
    DIR* list = opendir((files / "d").c_str());
    ASSERT_NE(readdir(list), nullptr);
    closedir(list);
  };
  // How often the plugin reads to be given a request, or anything else.
  auto reads = [&] {
    std::ifstream io("/proc/" + std::to_string(files.plugin_pid()) + "/io");
    uint64_t value = 0;
    for (std::string key; io >> key >> value && key != "syscr:";) {
    }
    return value;
  };
  auto is_cached = [&] {
    // The kernel may want its memory back at any moment, and tells that it has forgotten something.
    for (int tries = 0; tries < 10; ++tries) {
      for (int i = 0; i < 3; ++i) EXPECT_GE(ListDirectory(files / "d").size(), 100u);
      files.AwaitQuiet();
      const uint64_t before = reads();
      EXPECT_GE(ListDirectory(files / "d").size(), 100u);
      if (reads() == before) return true;
    }
    return false;
  };
  list_some();
  EXPECT_TRUE(is_cached());
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(mknod((files / "d/more-").append(std::to_string(i)).c_str(), S_IFREG | 0600, 0), 0);
    list_some();
    ASSERT_EQ(mknod((files / "d/again-").append(std::to_string(i)).c_str(), S_IFREG | 0600, 0), 0);
    EXPECT_TRUE(is_cached());
  }
}

// Linux takes a position that it does not find in a cached listing for the end of the directory if that listing fills
// its pages to the last byte.
TEST(ListingCacheTest, WhoBeganBeforeGetsTheRestAlsoIfPagesAreFull) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  if (getpagesize() != 4096) GTEST_SKIP() << "needs pages of 4 KiB";
  constexpr size_t kLong = 100;
  MountedDirectory files({.exclusive = true});
  ASSERT_TRUE(files.ok());
  MakeDirectory(files.OnHost("d"));
  auto make = [&](const std::string& name) { return mknod((files / "d/" + name).c_str(), S_IFREG | 0600, 0); };
  // Each takes 40 bytes there, this one 32, and so do "." and "..".
  ASSERT_EQ(make("short"), 0);
  for (size_t i = 1; i < kLong; ++i) ASSERT_EQ(make("longer-name-" + std::to_string(i)), 0);
  EXPECT_EQ(ListDirectory(files / "d").size(), kLong);

  Fd list(open((files / "d").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  std::set<std::string> seen;
  auto read = [&](size_t size) {
    alignas(dirent64) char buffer[4096];
    const ssize_t n = getdents64(list.get(), buffer, size);
    for (ssize_t at = 0; at < n;) {
      const auto& entry = *reinterpret_cast<const dirent64*>(buffer + at);
      EXPECT_TRUE(seen.insert(entry.d_name).second) << entry.d_name;
      at += entry.d_reclen;
    }
    return n;
  };
  ASSERT_GT(read(512), 0);
  ASSERT_LT(seen.size(), 20u);
  ASSERT_EQ(make("longer-name-0"), 0);
  EXPECT_EQ(ListDirectory(files / "d").size(), kLong + 1);
  EXPECT_EQ(ListDirectory(files / "d").size(), kLong + 1);
  while (read(4096) > 0) {
  }
  seen.erase("longer-name-0");
  EXPECT_EQ(seen.size(), 2 + kLong);
}

// Who looks at each entry's attributes gets them with the listing, all but few.
TEST(ListingCacheTest, AttributesComeWithTheListing) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  constexpr int kFiles = 3000;
  MountedDirectory files({.exclusive = true});
  ASSERT_TRUE(files.ok());
  struct Calls {
    uint64_t look_ups = UINT64_MAX, lists = UINT64_MAX;
    bool few() const { return look_ups < kFiles / 10 && lists < kFiles / 50; }
  };
  auto list_all = [&](const std::string& name) {
    MakeDirectory(files.OnHost(name));
    for (int i = 0; i < kFiles; ++i) {
      EXPECT_EQ(mknod(files.OnHost(name + "/" + std::to_string(i)).c_str(), S_IFREG | 0600, 0), 0);
    }
    const uint64_t look_ups = files.Calls(Mid::kWalkStat), lists = files.Calls(Mid::kListStat);
    DIR* list = opendir((files / name).c_str());
    while (const dirent* entry = readdir(list)) {
      struct stat stat;
      EXPECT_EQ(fstatat(dirfd(list), entry->d_name, &stat, AT_SYMLINK_NOFOLLOW), 0) << entry->d_name;
    }
    closedir(list);
    return Calls{files.Calls(Mid::kWalkStat) - look_ups, files.Calls(Mid::kListStat) - lists};
  };
  // Another directory each time, should the kernel have wanted its memory back before it was looked at.
  Calls calls;
  for (int i = 0; i < 3 && !calls.few(); ++i) calls = list_all("d" + std::to_string(i));
  EXPECT_TRUE(calls.few()) << calls.look_ups << " look-ups, " << calls.lists << " listings";
}

}  // namespace
}  // namespace lisafs::tests
