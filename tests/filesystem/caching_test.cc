// What the kernel keeps of what it has seen, and that it is right.

#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "lisafs/messages.h"
#include "tests/filesystem/mounted_directory.h"

namespace lisafs::tests {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

struct stat StatOf(const std::string& path) {
  struct stat stat = {};
  EXPECT_EQ(lstat(path.c_str(), &stat), 0) << path;
  return stat;
}

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

// How often a test looks whether something is cached: the kernel may want its memory back at any moment.
constexpr int kLooks = 10;

class ExclusiveTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    ASSERT_TRUE(files_.emplace(MountedDirectory::Options{.exclusive = true}).ok());
  }
  // What `work` asks the gofer for.
  template <typename F>
  std::vector<std::string> Asked(F&& work) {
    std::map<Mid, uint64_t> before;
    for (Mid mid : kAllMids) before[mid] = files_->Calls(mid);
    work();
    std::vector<std::string> asked;
    for (Mid mid : kAllMids) {
      if (mid != Mid::kClose && files_->Calls(mid) != before[mid]) asked.emplace_back(MessageName(mid));
    }
    return asked;
  }
  // As often as it takes until nothing is new.
  template <typename F>
  void Warm(F&& work) {
    for (int i = 0; i < 3; ++i) work();
  }

  std::optional<MountedDirectory> files_;
};

TEST_F(ExclusiveTest, WhatIsWarmIsNotAskedFor) {
  MakeDirectory(files_->OnHost("d"));
  WriteFile(files_->OnHost("d/a"), "a");
  ASSERT_EQ(symlink("a", files_->OnHost("d/link").c_str()), 0);
  auto look = [&] {
    EXPECT_EQ(ListDirectory(*files_ / "d").size(), 2u);
    EXPECT_EQ(StatOf(*files_ / "d/a").st_size, 1);
    EXPECT_EQ(StatOf(*files_ / "d").st_nlink, 2u);
    EXPECT_FALSE(Exists(*files_ / "d/none"));
    EXPECT_TRUE(Exists(*files_ / "d/link"));
  };
  Warm(look);
  sleep(2);  // Longer than anything is believed where others may change things.
  std::vector<std::string> asked = Asked(look);
  for (int i = 1; i < kLooks && !asked.empty(); ++i) asked = Asked(look);
  EXPECT_THAT(asked, testing::IsEmpty());
}

TEST_F(ExclusiveTest, ContentStaysToo) {
  WriteFile(files_->OnHost("a"), "content");
  EXPECT_EQ(ReadFile(*files_ / "a"), "content");
  std::vector<std::string> asked;
  for (int i = 0; i < kLooks; ++i) {
    asked = Asked([&] { EXPECT_EQ(ReadFile(*files_ / "a"), "content"); });
    if (std::ranges::none_of(asked, [](const std::string& name) { return name == "PRead" || name == "FStat"; })) return;
  }
  ADD_FAILURE() << testing::PrintToString(asked);
}

TEST_F(ExclusiveTest, WhatIsChangedHereShows) {
  MakeDirectory(*files_ / "d");
  MakeDirectory(*files_ / "e");
  WriteFile(*files_ / "d/a", "one");
  auto names = [&](const char* directory) { return ListDirectory(*files_ / directory).size(); };
  Warm([&] {
    EXPECT_EQ(names("d"), 1u);
    EXPECT_EQ(names("e"), 0u);
    EXPECT_FALSE(Exists(*files_ / "d/b"));
    EXPECT_EQ(StatOf(*files_ / "d/a").st_nlink, 1u);
  });

  // A second name for one file.
  ASSERT_EQ(link((*files_ / "d/a").c_str(), (*files_ / "d/b").c_str()), 0);
  EXPECT_EQ(names("d"), 2u);
  for (const char* name : {"d/a", "d/b"}) EXPECT_EQ(StatOf(*files_ / name).st_nlink, 2u);
  WriteFile(*files_ / "d/b", "longer");
  EXPECT_EQ(StatOf(*files_ / "d/a").st_size, 6);
  EXPECT_EQ(ReadFile(*files_ / "d/a"), "longer");
  ASSERT_EQ(chmod((*files_ / "d/a").c_str(), 0600), 0);
  EXPECT_EQ(StatOf(*files_ / "d/b").st_mode & 07777, 0600u);
  EXPECT_EQ(StatOf(*files_ / "d/b").st_ctim.tv_nsec, StatOf(files_->OnHost("d/b")).st_ctim.tv_nsec);

  // The directories' own attributes.
  auto same_as_on_host = [&](const char* name) {
    struct stat here = StatOf(*files_ / name), host = StatOf(files_->OnHost(name));
    EXPECT_EQ(here.st_mtim.tv_sec, host.st_mtim.tv_sec) << name;
    EXPECT_EQ(here.st_mtim.tv_nsec, host.st_mtim.tv_nsec) << name;
    EXPECT_EQ(here.st_ctim.tv_nsec, host.st_ctim.tv_nsec) << name;
    EXPECT_EQ(here.st_nlink, host.st_nlink) << name;
    EXPECT_EQ(here.st_size, host.st_size) << name;
  };
  ASSERT_EQ(rename((*files_ / "d/b").c_str(), (*files_ / "e/c").c_str()), 0);
  EXPECT_EQ(names("d"), 1u);
  EXPECT_EQ(names("e"), 1u);
  EXPECT_FALSE(Exists(*files_ / "d/b"));
  for (const char* name : {"d", "e", "e/c"}) same_as_on_host(name);
  MakeDirectory(*files_ / "d/sub");
  same_as_on_host("d");
  ASSERT_EQ(rename((*files_ / "d/sub").c_str(), (*files_ / "e/sub").c_str()), 0);
  for (const char* name : {"d", "e", "e/sub"}) same_as_on_host(name);
  ASSERT_EQ(rmdir((*files_ / "e/sub").c_str()), 0);
  same_as_on_host("e");

  // One name goes by being replaced.
  WriteFile(*files_ / "e/d", "other");
  ASSERT_EQ(rename((*files_ / "e/d").c_str(), (*files_ / "e/c").c_str()), 0);
  EXPECT_EQ(StatOf(*files_ / "d/a").st_nlink, 1u);
  EXPECT_EQ(ReadFile(*files_ / "e/c"), "other");
  for (const char* name : {"d/a", "e", "e/c"}) same_as_on_host(name);
  ASSERT_EQ(unlink((*files_ / "e/c").c_str()), 0);
  EXPECT_EQ(names("e"), 0u);
}

TEST_F(ExclusiveTest, WritingShowsInTheAttributes) {
  Fd file(open((*files_ / "a").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  ASSERT_TRUE(file);
  off_t size = 0;
  for (int i = 1; i <= 3; ++i) {
    size += 1000;
    ASSERT_EQ(ftruncate(file.get(), size), 0);
    ASSERT_EQ(pwrite(file.get(), "x", 1, size), 1);
    ++size;
    struct stat here = StatOf(*files_ / "a"), host = StatOf(files_->OnHost("a"));
    EXPECT_EQ(here.st_size, size);
    EXPECT_EQ(here.st_mtim.tv_nsec, host.st_mtim.tv_nsec);
    usleep(10000);
  }
}

TEST_F(ExclusiveTest, AFileWithoutANameGetsOne) {
  EXPECT_FALSE(Exists(*files_ / "named"));
  Fd file(open(files_->mounted().c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0644));
  ASSERT_TRUE(file) << strerror(errno);
  ASSERT_EQ(write(file.get(), "content", 7), 7);
  struct stat stat;
  ASSERT_EQ(fstat(file.get(), &stat), 0);
  EXPECT_EQ(stat.st_nlink, 0u);
  ASSERT_EQ(linkat(AT_FDCWD, ("/proc/self/fd/" + std::to_string(file.get())).c_str(), AT_FDCWD,
                   (*files_ / "named").c_str(), AT_SYMLINK_FOLLOW),
            0);
  EXPECT_EQ(StatOf(*files_ / "named").st_nlink, 1u);
  ASSERT_EQ(fstat(file.get(), &stat), 0);
  EXPECT_EQ(stat.st_nlink, 1u);
  EXPECT_EQ(ReadFile(*files_ / "named"), "content");
}

TEST_F(ExclusiveTest, ADirectoryThatIsDeletedWhileItIsOpen) {
  MakeDirectory(*files_ / "d");
  DIR* directory = opendir((*files_ / "d").c_str());
  ASSERT_NE(directory, nullptr);
  ASSERT_EQ(rmdir((*files_ / "d").c_str()), 0);
  int names = 0;
  while (dirent* entry = readdir(directory)) names += entry->d_name[0] != '.';
  EXPECT_EQ(names, 0);
  EXPECT_EQ(closedir(directory), 0);
}

// Others change the files, and the plugin is told.
class SharedTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    ASSERT_TRUE(files_.emplace(MountedDirectory::Options{.watch = true}).ok());
  }
  // How long it takes until the change shows.
  template <typename Change, typename Shows>
  static milliseconds Delay(Change&& change, Shows&& shows) {
    change();
    const auto start = steady_clock::now();
    while (!shows() && steady_clock::now() - start < kShowsInTheEnd) usleep(500);
    return std::chrono::duration_cast<milliseconds>(steady_clock::now() - start);
  }
  // Does it until most of the times were prompt. A busy machine may delay any of them; what is not watched shows
  // after a second.
  template <typename Round>
  static void ExpectPrompt(const char* what, Round&& round) {
    constexpr int kLeast = 5, kMost = 25;
    std::vector<milliseconds> delays;
    auto are_prompt = [&] { return delays.size() >= kLeast && delays[delays.size() / 2].count() < 100; };
    for (int i = 0; i < kMost && !are_prompt(); ++i) {
      delays.push_back(round(i));
      std::ranges::sort(delays);
    }
    EXPECT_TRUE(are_prompt()) << what << ": " << delays[delays.size() / 2].count() << " ms";
    EXPECT_LT(delays.back(), kShowsInTheEnd) << what;
  }

  // What is not told of what is watched is believed for ten seconds.
  static constexpr seconds kShowsInTheEnd{9};

  std::optional<MountedDirectory> files_;
};

TEST_F(SharedTest, WhatOthersChangeShowsAtOnce) {
  MakeDirectory(files_->OnHost("d"));
  auto name = [](const char* prefix, int i) { return "d/" + (prefix + std::to_string(i)); };
  ExpectPrompt("a name that led to nothing", [&](int i) {
    const std::string file = name("new", i);
    EXPECT_FALSE(Exists(*files_ / file));
    return Delay([&] { WriteFile(files_->OnHost(file), "x"); }, [&] { return Exists(*files_ / file); });
  });
  ExpectPrompt("a name that is deleted", [&](int i) {
    const std::string file = name("new", i);
    EXPECT_TRUE(Exists(*files_ / file));
    return Delay([&] { unlink(files_->OnHost(file).c_str()); }, [&] { return !Exists(*files_ / file); });
  });
  ExpectPrompt("a listing", [&](int i) {
    const size_t before = ListDirectory(*files_ / "d").size();
    return Delay([&] { WriteFile(files_->OnHost(name("listed", i)), ""); },
                 [&] { return ListDirectory(*files_ / "d").size() == before + 1; });
  });
  ExpectPrompt("a renamed file", [&](int i) {
    const std::string from = name("listed", i), to = name("renamed", i);
    EXPECT_TRUE(Exists(*files_ / from));
    EXPECT_FALSE(Exists(*files_ / to));
    return Delay([&] { rename(files_->OnHost(from).c_str(), files_->OnHost(to).c_str()); },
                 [&] { return !Exists(*files_ / from) && Exists(*files_ / to); });
  });
  WriteFile(files_->OnHost("d/file"), "");
  ExpectPrompt("a size", [&](int i) {
    EXPECT_EQ(StatOf(*files_ / "d/file").st_size, i);
    return Delay([&] { WriteFile(files_->OnHost("d/file"), std::string(i + 1, 'x')); },
                 [&] { return StatOf(*files_ / "d/file").st_size == i + 1; });
  });
  ExpectPrompt("a mode", [&](int i) {
    const mode_t mode = 0600 + i;
    EXPECT_NE(StatOf(*files_ / "d/file").st_mode & 0777, mode);
    return Delay([&] { chmod(files_->OnHost("d/file").c_str(), mode); },
                 [&] { return (StatOf(*files_ / "d/file").st_mode & 0777) == mode; });
  });
  ExpectPrompt("a directory's mode", [&](int i) {
    const mode_t mode = 0700 + i;
    MakeDirectory(files_->OnHost(name("dir", i)));
    EXPECT_NE(StatOf(*files_ / name("dir", i)).st_mode & 0777, mode);
    return Delay([&] { chmod(files_->OnHost(name("dir", i)).c_str(), mode); },
                 [&] { return (StatOf(*files_ / name("dir", i)).st_mode & 0777) == mode; });
  });
  ExpectPrompt("a directory that takes another's place", [&](int i) {
    MakeDirectory(files_->OnHost(name("a", i)));
    MakeDirectory(files_->OnHost(name("b", i)));
    WriteFile(files_->OnHost(name("b", i) + "/in"), "");
    EXPECT_FALSE(Exists(*files_ / name("a", i) + "/in"));
    return Delay(
        [&] {
          rmdir(files_->OnHost(name("a", i)).c_str());
          rename(files_->OnHost(name("b", i)).c_str(), files_->OnHost(name("a", i)).c_str());
        },
        [&] { return Exists(*files_ / name("a", i) + "/in"); });
  });
}

TEST_F(SharedTest, ContentOfAnOpenFile) {
  WriteFile(files_->OnHost("file"), "0");
  Fd here(open((*files_ / "file").c_str(), O_RDONLY | O_CLOEXEC));
  Fd host(open(files_->OnHost("file").c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(here);
  ExpectPrompt("content", [&](int i) {
    const char was = static_cast<char>('0' + i), is = static_cast<char>('1' + i);
    char byte = 0;
    EXPECT_EQ(pread(here.get(), &byte, 1, 0), 1);
    EXPECT_EQ(byte, was);
    return Delay([&] { EXPECT_EQ(pwrite(host.get(), &is, 1, 0), 1); },
                 [&] { return pread(here.get(), &byte, 1, 0) == 1 && byte == is; });
  });
}

TEST_F(SharedTest, WhatIsWatchedIsKeptLonger) {
  MakeDirectory(files_->OnHost("d"));
  WriteFile(files_->OnHost("d/a"), "a");
  auto look = [&] {
    EXPECT_EQ(ListDirectory(*files_ / "d").size(), 1u);
    EXPECT_TRUE(Exists(*files_ / "d"));
    EXPECT_FALSE(Exists(*files_ / "d/none"));
    EXPECT_EQ(StatOf(*files_ / "d").st_nlink, 2u);
  };
  // The watching begins somewhat after the first look, and the kernel may want some of its memory back meanwhile.
  EXPECT_TRUE(Eventually(kPatience, [&] {
    look();
    sleep(2);
    const uint64_t before = files_->Requests();
    look();
    return files_->Requests() == before;
  }));
}

TEST_F(SharedTest, ItsOwnChangesAreNoNews) {
  auto look_ups = [&](const std::string& directory) {
    MakeDirectory(directory);
    EXPECT_FALSE(Exists(directory + "/other"));
    const uint64_t before = files_->Calls(Mid::kWalkStat);
    for (int i = 0; i < 100; ++i) {
      const std::string name = directory + "/file" + std::to_string(i);
      EXPECT_EQ(mknod(name.c_str(), S_IFREG | 0644, 0), 0);
      usleep(1000);
      EXPECT_TRUE(Exists(name));
      EXPECT_FALSE(Exists(directory + "/other"));
    }
    usleep(50'000);
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(Exists(directory + "/file" + std::to_string(i)));
    return files_->Calls(Mid::kWalkStat) - before;
  };
  // Each is looked up once, before it is made. Were its making news, all would be looked up again and again.
  uint64_t fewest = UINT64_MAX;
  for (int i = 0; i < kLooks && fewest > 105; ++i) {
    fewest = std::min(fewest, look_ups(*files_ / ("d" + std::to_string(i))));
  }
  EXPECT_LE(fewest, 105u);
}

TEST_F(SharedTest, AStormOverflowsAndNothingStaysWrong) {
  MakeDirectory(files_->OnHost("d"));
  constexpr int kFiles = 100;
  auto name = [](int i) { return "d/" + std::to_string(i); };
  for (int i = 0; i < kFiles; i += 2) WriteFile(files_->OnHost(name(i)), "");
  for (int i = 0; i < kFiles; ++i) EXPECT_EQ(Exists(*files_ / name(i)), i % 2 == 0);
  // Each of a hundred thousand is an event of its own.
  std::thread reader([&] {
    for (int i = 0; i < 50; ++i) ListDirectory(*files_ / "d");
  });
  for (int i = 0; i < 50'000; ++i) {
    const std::string storm = files_->OnHost("d/storm" + std::to_string(i));
    ASSERT_EQ(mknod(storm.c_str(), S_IFREG | 0644, 0), 0);
    ASSERT_EQ(unlink(storm.c_str()), 0);
  }
  for (int i = 0; i < kFiles; ++i) {
    if (i % 2 == 0) {
      ASSERT_EQ(unlink(files_->OnHost(name(i)).c_str()), 0);
    } else {
      WriteFile(files_->OnHost(name(i)), "");
    }
  }
  auto all_show = [&] {
    for (int i = 0; i < kFiles; ++i) {
      if (Exists(*files_ / name(i)) != (i % 2 != 0)) return false;
    }
    return ListDirectory(*files_ / "d").size() == kFiles / 2;
  };
  EXPECT_LT(Delay([] {}, all_show), kShowsInTheEnd);
  reader.join();
}

TEST_F(SharedTest, ASingleFile) {
  MountedDirectory file({.single_file = true, .watch = true});
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(ReadFile(file.mounted()), "content");
  ExpectPrompt("content", [&](int i) {
    const std::string text = "now " + std::to_string(i);
    EXPECT_NE(ReadFile(file.mounted()), text);
    EXPECT_NE(StatOf(file.mounted()).st_mode & 0777, 0600u + i);
    return Delay(
        [&] {
          WriteFile(file.OnHost("file"), text);
          chmod(file.OnHost("file").c_str(), 0600 + i);
        },
        [&] { return ReadFile(file.mounted()) == text && (StatOf(file.mounted()).st_mode & 0777) == 0600u + i; });
  });
}

}  // namespace
}  // namespace lisafs::tests
