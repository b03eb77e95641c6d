// Whether others change the files may change while a mount is used.

#include <errno.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "lisafs/live_policy.h"
#include "lisafs/messages.h"
#include "tests/filesystem/mounted_directory.h"
#include "tests/support/files.h"

namespace lisafs::tests {
namespace {

// What is not told of what is watched is believed for ten seconds.
constexpr std::chrono::seconds kSoon(9);

struct stat StatOf(const std::string& path) {
  struct stat stat = {};
  EXPECT_EQ(lstat(path.c_str(), &stat), 0) << path;
  return stat;
}
bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

// With a gofer that tells what others change, and without.
class CacheMode : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    ASSERT_TRUE(files_.emplace(MountedDirectory::Options{.exclusive = true, .watch = GetParam()}).ok());
    MakeDirectory(files_->OnHost("d"));
  }

  std::optional<MountedDirectory> files_;
};

TEST_P(CacheMode, WhatWasKeptWithoutEndIsAskedForAgain) {
  std::string d;
  const volatile char* mapped = nullptr;
  auto is_old = [&] {
    return mapped[0] == 'o' && StatOf(*files_ / d + "/f").st_size == 3 && Exists(*files_ / d + "/gone") &&
           !Exists(*files_ / d + "/new");
  };
  // Until the kernel has kept all of it: it may want its memory back at any moment.
  bool is_kept = false;
  for (int i = 0; i < 5 && !is_kept; ++i) {
    d = "d" + std::to_string(i);
    MakeDirectory(files_->OnHost(d));
    WriteFile(files_->OnHost(d + "/f"), "one");
    WriteFile(files_->OnHost(d + "/gone"), "");
    Fd open_file(open((*files_ / d + "/f").c_str(), O_RDONLY | O_CLOEXEC));
    void* page = mmap(nullptr, 1, PROT_READ, MAP_SHARED, open_file.get(), 0);
    ASSERT_NE(page, MAP_FAILED);
    mapped = static_cast<const volatile char*>(page);
    EXPECT_TRUE(is_old());
    WriteFile(files_->OnHost(d + "/f"), "another");
    ASSERT_EQ(chmod(files_->OnHost(d).c_str(), 0711), 0);
    ASSERT_EQ(unlink(files_->OnHost(d + "/gone").c_str()), 0);
    WriteFile(files_->OnHost(d + "/new"), "");
    is_kept = is_old();
    if (!is_kept) munmap(page, 1);
  }
  ASSERT_TRUE(is_kept) << "somebody asks";

  files_->Restrict(kShared);
  auto is_new = [&] {
    return mapped[0] == 'a' && StatOf(*files_ / d + "/f").st_size == 7 &&
           (StatOf(*files_ / d).st_mode & 0777) == 0711 && !Exists(*files_ / d + "/gone") &&
           Exists(*files_ / d + "/new");
  };
  EXPECT_TRUE(Eventually(kPatience, is_new));
  // From now on as if it had always been so.
  EXPECT_FALSE(Exists(*files_ / d + "/newer"));
  WriteFile(files_->OnHost(d + "/newer"), "");
  ASSERT_EQ(unlink(files_->OnHost(d + "/new").c_str()), 0);
  EXPECT_TRUE(Eventually(kSoon, [&] { return Exists(*files_ / d + "/newer") && !Exists(*files_ / d + "/new"); }));
  EXPECT_EQ(files_->Calls(Mid::kSubscribe), GetParam() ? 1u : 0u);
  munmap(const_cast<char*>(mapped), 1);
}

TEST_P(CacheMode, WhatOthersNoLongerChangeIsKeptWithoutEnd) {
  files_->Restrict(kShared);
  WriteFile(files_->OnHost("d/f"), "one");
  auto look_at_names = [&] {
    EXPECT_EQ(StatOf(*files_ / "d/f").st_size, 3);
    EXPECT_FALSE(Exists(*files_ / "d/none"));
  };
  auto look = [&] {
    look_at_names();
    EXPECT_EQ(ReadFile(*files_ / "d/f"), "one");
  };
  look();
  for (int i = 0; i < 2; ++i) {
    files_->Restrict(0);
    usleep(100'000);
    for (int j = 0; j < 3; ++j) look();
    // The plugin may not have noticed yet when it was looked, and the kernel may have wanted some of its memory back.
    EXPECT_TRUE(Eventually(kPatience, [&] {
      sleep(2);
      const uint64_t before = files_->Requests();
      look_at_names();
      return files_->Requests() == before;
    }));
    files_->Restrict(kShared);
  }
  // It is told once for good.
  EXPECT_LE(files_->Calls(Mid::kSubscribe), 1u);
}

// The kernel could forget all names at once, and would unmount what is mounted on them.
TEST_P(CacheMode, WhatIsMountedWithinStays) {
  MakeDirectory(*files_ / "d/within");
  const std::string within = *files_ / "d/within";
  ASSERT_EQ(mount("tmpfs", within.c_str(), "tmpfs", 0, nullptr), 0);
  WriteFile(within + "/f", "here");
  for (int i = 0; i < 4; ++i) {
    files_->Restrict(i % 2 == 0 ? kShared : 0);
    usleep(50'000);
    EXPECT_EQ(ReadFile(within + "/f"), "here");
  }
  EXPECT_EQ(umount(within.c_str()), 0);
}

// However answers and changes of mind meet: nothing stays that was to be believed for ever.
TEST_P(CacheMode, NothingStaysWrongWhateverIsUnderWay) {
  constexpr int kFiles = 40;
  auto name = [](int i) { return "d/" + std::to_string(i); };
  std::atomic<bool> stop = false;
  std::vector<std::thread> lookers;
  for (int t = 0; t < 3; ++t) {
    lookers.emplace_back([&, t] {
      struct stat stat;
      for (int i = t; !stop; ++i) {
        (void)::stat((*files_ / name(i % kFiles)).c_str(), &stat);
        if (i % kFiles == t) ListDirectory(*files_ / "d");
      }
    });
  }
  for (int round = 0; round < 60; ++round) {
    files_->Restrict(round % 2 == 0 ? kShared : 0);
    for (int i = round % 7; i < kFiles; i += 7) {
      if (round % 3 == 0) {
        unlink(files_->OnHost(name(i)).c_str());
      } else {
        WriteFile(files_->OnHost(name(i)), std::string(round + 1, 'x'));
      }
    }
    usleep(static_cast<useconds_t>(500 * (round % 5)));
  }
  files_->Restrict(kShared);
  stop = true;
  for (std::thread& looker : lookers) looker.join();
  auto differs = [&] {
    std::string different;
    for (int i = 0; i < kFiles; ++i) {
      struct stat here, host;
      const bool is_here = stat((*files_ / name(i)).c_str(), &here) == 0;
      const bool is_on_host = stat(files_->OnHost(name(i)).c_str(), &host) == 0;
      if (is_here != is_on_host || (is_here && here.st_size != host.st_size)) different += name(i) + " ";
    }
    return different;
  };
  EXPECT_TRUE(Eventually(kSoon, [&] { return differs().empty(); })) << differs();
}

INSTANTIATE_TEST_SUITE_P(Changes, CacheMode, testing::Bool(),
                         [](const auto& info) { return info.param ? "Told" : "Untold"; });

}  // namespace
}  // namespace lisafs::tests
