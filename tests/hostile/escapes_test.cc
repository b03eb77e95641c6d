// A client that tries to reach what it was not given: files beside its mount, through names, links, races, other
// connections, /proc, descriptors. The host's side is looked at afterwards.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "tests/hostile/served.h"

namespace lisafs::conformance {
namespace {

using Names = std::vector<std::string_view>;
using std::chrono::steady_clock;
using tests::TempDir;

// A mount and what stands beside it, of which nothing may change.
class EscapesTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "lisafs-gofer wants root";
    umask(0);
    for (const char* each : {"outside/d", "mount/d", "mount/e"}) tests::MakeDirectory(directory_ / each);
    tests::WriteFile(directory_ / "outside/secret", "secret");
    tests::WriteFile(directory_ / "outside/d/f", "secret");
    tests::WriteFile(directory_ / "mount/f", "content");
    tests::WriteFile(directory_ / "mount/d/f", "content");
    ASSERT_EQ(symlink("../outside", (directory_ / "mount/up").c_str()), 0);
    ASSERT_EQ(symlink((directory_ / "outside").c_str(), (directory_ / "mount/absolute").c_str()), 0);
    ASSERT_EQ(symlink("../outside/secret", (directory_ / "mount/secret").c_str()), 0);
    before_ = Outside();
  }
  void TearDown() override { EXPECT_EQ(Outside(), before_); }

  std::string mount() const { return directory_ / "mount"; }

  // Everything outside the mount that a change would show in.
  std::map<std::string, std::string> Outside() const {
    std::map<std::string, std::string> all;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_ / "outside")) {
      struct stat stat;
      EXPECT_EQ(lstat(entry.path().c_str(), &stat), 0);
      all[entry.path()] =
          Text(stat.st_mode, stat.st_uid, stat.st_nlink, stat.st_size, stat.st_ctim.tv_sec, stat.st_ctim.tv_nsec);
    }
    return all;
  }

  // How far a walk gets, and why not farther.
  static std::string WalkTo(Served& served, const Names& names) {
    Answer answer = Ask<Mid::kWalk>(served.socket(), {.dir_fd = served.root(), .path = StringArray(names)});
    WalkResp response;
    if (!answer.ok() || !Decode(answer.payload, response)) return answer.ToString();
    for (size_t i = 0; i < response.inodes.size(); ++i) {
      Fdid fds[] = {response.inodes[i].control_fd};
      Ask<Mid::kClose>(served.socket(), {FdArray(fds)});
    }
    return Text(response.inodes.size(), static_cast<int>(response.status));
  }

  TempDir directory_;
  std::map<std::string, std::string> before_;
};

// ---- Names.

TEST_F(EscapesTest, NoNameLeadsElsewhereInAnyMessage) {
  Served served({Served::Mount{mount(), ":uds-open:uds-create"}});
  RawSocket& lane = served.socket();
  const Fdid root = served.root();
  const Fdid directory = served.Find("d"), file = served.Find("f");
  using std::string_view;
  const std::vector<std::pair<const char*, std::function<Answer(string_view)>>> kMessages = {
      {"Walk",
       [&](string_view n) {
         return Ask<Mid::kWalk>(lane, {root, StringArray({&n, 1})});
       }},
      {"Walk on",
       [&](string_view n) {
         Names names = {"d", n};
         return Ask<Mid::kWalk>(lane, {root, StringArray(names)});
       }},
      {"WalkStat",
       [&](string_view n) {
         Names names = {"d", n};
         return Ask<Mid::kWalkStat>(lane, {root, StringArray(names)});
       }},
      {"OpenCreateAt",
       [&](string_view n) {
         return Ask<Mid::kOpenCreateAt>(lane, {.common = {.dir_fd = root}, .flags = 2, .name = n});
       }},
      {"MkdirAt", [&](string_view n) { return Ask<Mid::kMkdirAt>(lane, {.common = {.dir_fd = root}, .name = n}); }},
      {"MknodAt",
       [&](string_view n) {
         return Ask<Mid::kMknodAt>(lane, {.common = {.dir_fd = root, .mode = S_IFREG | 0644}, .name = n});
       }},
      {"MakeNodeAt",
       [&](string_view n) {
         return Ask<Mid::kMakeNodeAt>(lane, {.common = {.dir_fd = root, .mode = S_IFIFO | 0644}, .name = n});
       }},
      {"SymlinkAt",
       [&](string_view n) { return Ask<Mid::kSymlinkAt>(lane, {.dir_fd = root, .name = n, .target = "t"}); }},
      {"LinkAt",
       [&](string_view n) { return Ask<Mid::kLinkAt>(lane, {.dir_fd = root, .target_fd = file, .name = n}); }},
      {"UnlinkAt", [&](string_view n) { return Ask<Mid::kUnlinkAt>(lane, {.dir_fd = directory, .name = n}); }},
      {"UnlinkAt of a directory",
       [&](string_view n) {
         return Ask<Mid::kUnlinkAt>(lane, {.dir_fd = directory, .flags = AT_REMOVEDIR, .name = n});
       }},
      {"RenameAt from",
       [&](string_view n) {
         return Ask<Mid::kRenameAt>(lane, {directory, root, n, "new"});
       }},
      {"RenameAt to",
       [&](string_view n) {
         return Ask<Mid::kRenameAt>(lane, {root, directory, "f", n});
       }},
      {"RenameAt2 from",
       [&](string_view n) {
         return Ask<Mid::kRenameAt2>(lane, {directory, root, n, "e", RENAME_EXCHANGE});
       }},
      {"RenameAt2 to",
       [&](string_view n) {
         return Ask<Mid::kRenameAt2>(lane, {root, directory, "e", n, RENAME_EXCHANGE});
       }},
      {"BindAt",
       [&](string_view n) {
         return Ask<Mid::kBindAt>(lane, {.common = {.dir_fd = root}, .sock_type = SOCK_STREAM, .name = n});
       }},
  };
  const std::string absolute = directory_ / "outside/new";
  const std::string long_one = "../outside/" + std::string(300, 'x');
  const string_view kNames[] = {"..",
                                ".",
                                "/",
                                "",
                                "../outside",
                                "../outside/new",
                                "d/f",
                                "up/new",
                                absolute,
                                "f/",
                                "/f",
                                "../../../../../../etc/new",
                                "./f",
                                "d/../../outside/new",
                                long_one,
                                string_view("f\0x", 3),
                                string_view("\0", 1)};
  for (const auto& [message, ask] : kMessages) {
    for (string_view name : kNames) EXPECT_EQ(ask(name).ToString(), "EINVAL") << message << " \"" << name << "\"";
  }
}

// ---- Symbolic links.

TEST_F(EscapesTest, LinksAreNotFollowedAtAnyPosition) {
  tests::MakeDirectory(mount() + "/e/e");
  ASSERT_EQ(symlink("../../../outside", (mount() + "/e/e/up").c_str()), 0);
  Served served({Served::Mount{mount(), ":uds-open:uds-create:fifo"}});
  for (const char* link : {"up", "absolute", "secret"}) {
    EXPECT_EQ(WalkTo(served, {link}), "1 0") << link;
    EXPECT_EQ(WalkTo(served, {link, "secret"}), "1 2") << link << ": it stops there";
    Fdid fd = served.Find(link);
    RawSocket& lane = served.socket();
    for (uint32_t flags : {O_RDONLY, O_RDWR, O_RDONLY | O_TRUNC}) {
      EXPECT_EQ(Ask<Mid::kOpenAt>(lane, {.fd = fd, .flags = flags}).ToString(), "EINVAL") << link;
    }
    EXPECT_EQ(Ask<Mid::kOpenCreateAt>(lane, {.common = {.dir_fd = fd}, .flags = 2, .name = "new"}).ToString(),
              "ENOTDIR");
    EXPECT_EQ(Ask<Mid::kMkdirAt>(lane, {.common = {.dir_fd = fd}, .name = "new"}).ToString(), "ENOTDIR");
    EXPECT_EQ(Ask<Mid::kUnlinkAt>(lane, {.dir_fd = fd, .name = "secret"}).ToString(), "ENOTDIR");
    EXPECT_EQ(Ask<Mid::kRenameAt>(lane, {fd, served.root(), "secret", "new"}).ToString(), "ENOTDIR");
    EXPECT_EQ(Ask<Mid::kRenameAt>(lane, {served.root(), fd, "f", "new"}).ToString(), "ENOTDIR");
    EXPECT_EQ(Ask<Mid::kConnect>(lane, {.fd = fd}).ToString(), "ENOTSOCK");
    // Whatever can be set is the link's own.
    Ask<Mid::kSetStat>(lane, {.fd = fd,
                              .mask = STATX_MODE | STATX_UID | STATX_SIZE | STATX_MTIME,
                              .mode = 0777,
                              .uid = 77,
                              .size = 0,
                              .mtime = {1, 1}});
    Ask<Mid::kFSetXattr>(lane, {.fd = fd, .name = "user.x", .value = "x"});
    EXPECT_TRUE(Ask<Mid::kLinkAt>(lane, {.dir_fd = served.root(), .target_fd = fd, .name = "linked"}).ok());
    struct stat linked;
    ASSERT_EQ(lstat((mount() + "/linked").c_str(), &linked), 0);
    EXPECT_TRUE(S_ISLNK(linked.st_mode));
    ASSERT_EQ(unlink((mount() + "/linked").c_str()), 0);
  }
  EXPECT_EQ(WalkTo(served, {"e", "e", "up", "d", "f"}), "3 2");
}

// ---- Races: a directory of the mount and a link out of it change places all the time.

TEST_F(EscapesTest, NothingFollowsALinkThatTakesADirectorysPlace) {
  Served served({{mount(), ":uds-create"}, {mount()}});
  std::atomic<bool> stop = false;
  // On the host, and by another client too.
  std::thread host([&] {
    const std::string one = mount() + "/d", two = mount() + "/up";
    while (!stop) renameat2(AT_FDCWD, one.c_str(), AT_FDCWD, two.c_str(), RENAME_EXCHANGE);
  });
  std::thread other([&] {
    while (!stop)
      Ask<Mid::kRenameAt2>(served.socket(1), {served.root(1), served.root(1), "e", "absolute", RENAME_EXCHANGE});
  });
  RawSocket& lane = served.socket();
  const auto end = steady_clock::now() + std::chrono::milliseconds(1500);
  int reached = 0;
  const auto latest = end + tests::kPatience;
  for (int i = 0; steady_clock::now() < end || (reached <= 10 && steady_clock::now() < latest); ++i) {
    const char* name = i % 2 == 0 ? "d" : "e";
    Fdid fd = served.Find(name);
    if (fd == kInvalidFdid) continue;
    const std::string made = "made" + std::to_string(i);
    const CreateCommon common{.dir_fd = fd, .mode = 0644};
    bool is_directory = Ask<Mid::kOpenCreateAt>(lane, {.common = common, .flags = O_RDWR, .name = made}).ok();
    reached += is_directory ? 1 : 0;
    Ask<Mid::kBindAt>(lane, {.common = common, .sock_type = SOCK_STREAM, .name = made + "s"});
    Ask<Mid::kMkdirAt>(lane, {.common = common, .name = made + "d"});
    Ask<Mid::kUnlinkAt>(lane, {.dir_fd = fd, .name = "secret"});
    Ask<Mid::kUnlinkAt>(lane, {.dir_fd = fd, .name = "f"});
    Ask<Mid::kRenameAt>(lane, {fd, served.root(), "secret", "stolen"});
    Ask<Mid::kSetStat>(lane, {.fd = fd, .mask = STATX_MODE, .mode = 0700});
    if (Fdid secret = Served::Walk(lane, fd, "secret"); secret != kInvalidFdid) {
      ADD_FAILURE() << "the secret was found below " << name;
      break;
    }
    Fdid fds[] = {fd};
    Ask<Mid::kClose>(lane, {FdArray(fds)});
  }
  stop = true;
  host.join();
  other.join();
  EXPECT_GT(reached, 10);
  EXPECT_NE(access((mount() + "/stolen").c_str(), F_OK), 0);
}

// The host takes a directory out of the mount while a client is in it: what it has stays, and leads no farther.
TEST_F(EscapesTest, ADirectoryThatWasMovedOutLeadsNowhere) {
  Served served({Served::Mount{mount()}});
  RawSocket& lane = served.socket();
  Fdid directory = served.Find("e");
  ASSERT_NE(directory, kInvalidFdid);
  ASSERT_EQ(rename((mount() + "/e").c_str(), (directory_ / "outside/e").c_str()), 0);
  for (std::string_view name : {"..", ".", "../secret"}) {
    EXPECT_EQ(Served::Walk(lane, directory, name), kInvalidFdid);
  }
  EXPECT_EQ(Served::Walk(lane, directory, "secret"), kInvalidFdid);
  Ask<Mid::kRenameAt>(lane, {served.root(), directory, "f", "f"});
  Ask<Mid::kMkdirAt>(lane, {.common = {.dir_fd = directory}, .name = "new"});
  std::filesystem::remove_all(directory_ / "outside/e");
}

// ---- Other connections.

TEST_F(EscapesTest, NoFdidOfAnotherConnectionIsOfUse) {
  Served served({{directory_ / "outside", ":ro"}, {mount()}});
  std::vector<Fdid> good = {served.root(0)};
  for (int i = 0; i < 20; ++i) good.push_back(served.Find("secret", 0));
  RawSocket& hostile = served.socket(1);
  const Fdid own = served.root(1);
  for (Fdid fd = 0; fd < 100; ++fd) {
    if (fd == own) continue;
    EXPECT_EQ(Ask<Mid::kFStat>(hostile, {fd}).ToString(), "EBADF") << fd;
    EXPECT_EQ(Ask<Mid::kOpenAt>(hostile, {.fd = fd}).ToString(), "EBADF") << fd;
    EXPECT_EQ(Ask<Mid::kLinkAt>(hostile, {.dir_fd = own, .target_fd = fd, .name = "linked"}).ToString(), "EBADF");
    EXPECT_EQ(Ask<Mid::kRenameAt>(hostile, {fd, own, "secret", "secret2"}).ToString(), "EBADF");
    Fdid fds[] = {fd};
    Ask<Mid::kClose>(hostile, {FdArray(fds)});
  }
  for (Fdid fd : good) EXPECT_TRUE(Ask<Mid::kFStat>(served.socket(0), {fd}).ok()) << "it was closed by another";
}

// ---- Devices and set-id files.

TEST_F(EscapesTest, NoDeviceIsMadeOrOpened) {
  ASSERT_EQ(mknod((mount() + "/null").c_str(), S_IFCHR | 0666, makedev(1, 3)), 0);
  ASSERT_EQ(mknod((mount() + "/disk").c_str(), S_IFBLK | 0666, makedev(7, 0)), 0);
  Served served({Served::Mount{mount()}});
  RawSocket& lane = served.socket();
  for (uint16_t type : {S_IFCHR, S_IFBLK}) {
    MknodAtReq request{.common = {.dir_fd = served.root(), .mode = static_cast<uint16_t>(type | 0666)},
                       .minor = 3,
                       .major = 1,
                       .name = "device"};
    EXPECT_EQ(Ask<Mid::kMknodAt>(lane, request).ToString(), "EPERM");
    EXPECT_EQ(Ask<Mid::kMakeNodeAt>(lane, request).ToString(), "EPERM");
  }
  for (const char* name : {"null", "disk"}) {
    for (uint32_t flags : {O_RDONLY, O_WRONLY, O_RDWR}) {
      EXPECT_EQ(Ask<Mid::kOpenAt>(lane, {.fd = served.Find(name), .flags = flags}).ToString(), "EPERM") << name;
    }
  }
}

// A mount with nosuid: the host's own file has the bit, since its owner's container set it; nobody gains by it through
// a mount that lisafs made. tests/containers/mounts_test.cc has the container's side.
TEST_F(EscapesTest, ASetIdFileThroughTheTreeIsNotExecuted) {
  Served served({Served::Mount{mount()}});
  CreateCommon common{.dir_fd = served.root(), .uid = 0, .gid = 0, .mode = 04755};
  Answer made = Ask<Mid::kOpenCreateAt>(served.socket(), {.common = common, .flags = O_RDWR, .name = "set-id"});
  ASSERT_TRUE(made.ok());
  ASSERT_EQ(made.donated.size(), 1u);
  // What was donated is on the detached tree's mount, which has nosuid and nodev.
  std::string info;
  std::ifstream file("/proc/self/fdinfo/" + std::to_string(made.donated[0].get()));
  for (std::string line; std::getline(file, line);) info += line + "\n";
  EXPECT_NE(info.find("mnt_id:"), std::string::npos);
  struct statvfs system;
  ASSERT_EQ(fstatvfs(made.donated[0].get(), &system), 0);
  EXPECT_TRUE(system.f_flag & ST_NOSUID);
  EXPECT_TRUE(system.f_flag & ST_NODEV);
}

// ---- /proc.

TEST_F(EscapesTest, MagicLinksAreLinks) {
  Served served({Served::Mount{"/proc", ":ro"}});
  EXPECT_EQ(WalkTo(served, {"self"}), "1 0");
  for (const char* link : {"root", "cwd", "exe"}) {
    EXPECT_EQ(WalkTo(served, {"1", link, "etc"}), "2 2") << link;
    RawSocket& lane = served.socket();
    Fdid fd = Served::Walk(lane, served.Find("1"), link);
    ASSERT_NE(fd, kInvalidFdid);
    EXPECT_EQ(Ask<Mid::kOpenAt>(lane, {.fd = fd}).ToString(), "EINVAL") << link;
    EXPECT_TRUE(Ask<Mid::kOpenAt>(lane, {.fd = fd}).donated.empty());
  }
}

// ---- Mount points within the tree.

TEST_F(EscapesTest, MountsBelowAreAsReadOnlyAsTheTree) {
  const std::string point = mount() + "/e";
  ASSERT_EQ(::mount("none", point.c_str(), "tmpfs", 0, "size=1m"), 0);
  tests::WriteFile(point + "/f", "content");
  tests::MakeDirectory(directory_ / "mount/d/later");
  Served served({Served::Mount{mount(), ":ro"}});
  // One that comes later does not show.
  ASSERT_EQ(::mount("none", (mount() + "/d/later").c_str(), "tmpfs", 0, "size=1m"), 0);
  tests::WriteFile(mount() + "/d/later/f", "content");
  EXPECT_EQ(WalkTo(served, {"d", "later", "f"}), "2 1");
  RawSocket& lane = served.socket();
  Fdid below = served.Find("e");
  Fdid file = Served::Walk(lane, below, "f");
  Answer opened = Ask<Mid::kOpenAt>(lane, {.fd = file});
  ASSERT_TRUE(opened.ok());
  ASSERT_EQ(opened.donated.size(), 1u);
  // The mount's own attribute, not the gofer's word: this process is root, and has a way to reopen it.
  std::string again = "/proc/self/fd/" + std::to_string(opened.donated[0].get());
  EXPECT_LT(open(again.c_str(), O_RDWR | O_CLOEXEC), 0);
  EXPECT_EQ(errno, EROFS);
  opened.donated.clear();
  EXPECT_EQ(Ask<Mid::kOpenAt>(lane, {.fd = file, .flags = O_RDWR}).ToString(), "EROFS");
  EXPECT_EQ(Ask<Mid::kUnlinkAt>(lane, {.dir_fd = below, .name = "f"}).ToString(), "EROFS");
}

// ---- Descriptors.

TEST_F(EscapesTest, WhatIsDonatedIsWhatWasAskedFor) {
  Served served({{mount()}, {mount(), ":nodonate"}, {mount(), ":ro"}});
  for (size_t i = 0; i < 3; ++i) {
    RawSocket& lane = served.socket(i);
    EXPECT_TRUE(Ask<Mid::kOpenAt>(lane, {.fd = served.Find("d", i)}).donated.empty()) << "of a directory";
    EXPECT_TRUE(Ask<Mid::kOpenAt>(lane, {.fd = served.root(i)}).donated.empty()) << "of the root";
    for (uint32_t flags : {O_RDONLY, O_WRONLY, O_RDWR}) {
      // Flags that are the host's business are dropped.
      Answer opened = Ask<Mid::kOpenAt>(
          lane, {.fd = served.Find("f", i), .flags = flags | O_APPEND | O_DIRECT | O_PATH | O_CREAT | O_NOATIME});
      if (i == 2 && flags != O_RDONLY) {
        EXPECT_EQ(opened.ToString(), "EROFS");
        continue;
      }
      ASSERT_TRUE(opened.ok()) << opened;
      ASSERT_EQ(opened.donated.size(), i == 1 ? 0u : 1u);
      if (i == 1) continue;
      int got = fcntl(opened.donated[0].get(), F_GETFL);
      EXPECT_EQ(got & ~O_NONBLOCK & ~0100000 /* O_LARGEFILE */, static_cast<int>(flags));
    }
  }
}

}  // namespace
}  // namespace lisafs::conformance
