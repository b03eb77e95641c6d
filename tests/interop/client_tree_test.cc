// Names, attributes and special files; instantiated in client_data_test.cc.

#include <dirent.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <map>
#include <set>

#include "tests/interop/client_testing.h"

namespace lisafs::tests {
namespace {

uint16_t Permissions(const Statx& stat) { return stat.mode & 07777; }

TEST_P(ClientTest, WalksAsFarAsItGoes) {
  Fdid at = root();
  std::vector<std::string_view> names = {"a", "b", "c"};
  for (std::string_view name : names) {
    auto made = MakeDirectory(at, name);
    ASSERT_EQ(Outcome(made), "ok");
    at = made->control_fd;
  }
  ASSERT_EQ(symlink("/etc", (directory() / "a/link").c_str()), 0);

  const std::pair<std::vector<std::string_view>, std::pair<WalkStatus, size_t>> walks[] = {
      {{"a", "b", "c"}, {WalkStatus::kSuccess, 3}},
      {{"a", "b", "c", "absent", "x"}, {WalkStatus::kComponentDoesNotExist, 3}},
      {{"a", "link"}, {WalkStatus::kSuccess, 2}},
      {{"a", "link", "passwd"}, {WalkStatus::kComponentSymlink, 2}},
      {{}, {WalkStatus::kSuccess, 0}},
  };
  for (const auto& [path, wanted] : walks) {
    WalkStatus status = {};
    size_t count = 0;
    auto called =
        client().Call<Mid::kWalk>({.dir_fd = root(), .path = StringArray(path)}, [&](const WalkResp& response) {
          status = response.status;
          count = response.inodes.size();
        });
    ASSERT_EQ(Outcome(called), "ok");
    EXPECT_EQ(status, wanted.first);
    EXPECT_EQ(count, wanted.second);
  }
  EXPECT_EQ(Outcome(Walk(root(), {"a", ".."})), "EINVAL");
  EXPECT_EQ(Outcome(Walk(99999, {"a"})), "EBADF");

  std::vector<uint64_t> inos;
  names.insert(names.begin(), "");
  auto called =
      client().Call<Mid::kWalkStat>({.dir_fd = root(), .path = StringArray(names)}, [&](const WalkStatResp& response) {
        for (size_t i = 0; i < response.stats.size(); ++i) {
          inos.push_back(response.stats[i].ino);
        }
      });
  ASSERT_EQ(Outcome(called), "ok");
  ASSERT_EQ(inos.size(), 4u);
  EXPECT_EQ(inos[0], client().root().stat.ino);
  EXPECT_EQ(inos[3], Stat(at)->ino);
}

TEST_P(ClientTest, ListsADirectory) {
  std::set<std::string> names;
  for (int i = 0; i < 300; ++i) {
    std::string name = "file" + std::to_string(i) + std::string(i % 200, 'x');
    WriteFile(directory() / name, "");
    names.insert(name);
  }
  auto opened = Open(root(), O_RDONLY);
  ASSERT_EQ(Outcome(opened), "ok");
  for (int round = 0; round < 2; ++round) {
    std::set<std::string> seen;
    size_t count = 1;
    for (int32_t budget = -4096; count != 0; budget = 4096) {
      auto called = client().Call<Mid::kGetdents64>(
          {.fd = opened->open, .count = budget, .padding = {}}, [&](const Getdents64Resp& response) -> Status {
            count = response.count;
            Reader reader(response.dirents.bytes);
            for (size_t i = 0; i < count; ++i) {
              Dirent entry;
              std::apply([&](auto&... field) { (reader.Read(field), ...); }, entry.Tie());
              if (!reader.ok()) return Fail(EPROTO);
              EXPECT_EQ(entry.type, DT_REG);
              EXPECT_TRUE(seen.emplace(entry.name).second) << entry.name;
            }
            return {};
          });
      ASSERT_EQ(Outcome(called), "ok");
    }
    EXPECT_EQ(seen, names);
  }
}

TEST_P(ClientTest, LinksAndRenames) {
  auto file = Create(root(), "file");
  ASSERT_EQ(Outcome(file), "ok");
  auto link = client().Call<Mid::kLinkAt>({.dir_fd = root(), .target_fd = file->control, .name = "hard"});
  ASSERT_EQ(Outcome(link), "ok");
  EXPECT_EQ(link->child.stat.nlink, 2u);
  auto symlink = client().Call<Mid::kSymlinkAt>(
      {.dir_fd = root(), .uid = kNoId, .gid = kNoId, .name = "soft", .target = "some/where"});
  ASSERT_EQ(Outcome(symlink), "ok");
  std::string target;
  auto read = client().Call<Mid::kReadLinkAt>({.fd = symlink->child.control_fd},
                                              [&](const StringResp& response) { target = response.value; });
  ASSERT_EQ(Outcome(read), "ok");
  EXPECT_EQ(target, "some/where");

  auto made = client().Call<Mid::kMknodAt>({.common = {.dir_fd = root(), .uid = 12, .gid = 34, .mode = S_IFREG | 0640},
                                            .minor = 0,
                                            .major = 0,
                                            .name = "node"});
  ASSERT_EQ(Outcome(made), "ok");
  EXPECT_EQ(made->child.stat.uid, 12u);
  EXPECT_EQ(made->child.stat.gid, 34u);

  auto rename = [&](std::string_view from, std::string_view to) {
    return Outcome(
        client().Call<Mid::kRenameAt>({.old_dir_fd = root(), .new_dir_fd = root(), .old_name = from, .new_name = to}));
  };
  EXPECT_EQ(rename("absent", "x"), "ENOENT");
  EXPECT_EQ(rename("hard", "node"), "ok");
  auto rename2 = client().Call<Mid::kRenameAt2>(
      {.old_dir_fd = root(), .new_dir_fd = root(), .old_name = "node", .new_name = "soft", .flags = RENAME_NOREPLACE});
  EXPECT_EQ(Outcome(rename2), is_december2022() ? "EOPNOTSUPP" : "EEXIST");
  EXPECT_EQ(ListDirectory(directory().path()), (std::vector<std::string>{"file", "node", "soft"}));
}

TEST_P(ClientTest, Attributes) {
  auto file = Create(root(), "file");
  ASSERT_EQ(Outcome(file), "ok");
  SetStatReq request;
  request.fd = file->control;
  request.mask = STATX_MODE | STATX_SIZE | STATX_MTIME | STATX_UID | STATX_GID;
  request.mode = 0604;
  request.uid = 12;
  request.gid = 34;
  request.size = 1000;
  request.mtime = {.sec = 1'000'000, .nsec = 7};
  auto set = client().Call<Mid::kSetStat>(request);
  ASSERT_EQ(Outcome(set), "ok");
  EXPECT_EQ(set->failure_mask, 0u);
  auto stat = Stat(file->open);
  ASSERT_EQ(Outcome(stat), "ok");
  EXPECT_EQ(Permissions(*stat), 0604);
  EXPECT_EQ(stat->uid, 12u);
  EXPECT_EQ(stat->gid, 34u);
  EXPECT_EQ(stat->size, 1000u);
  EXPECT_EQ(stat->mtime.sec, 1'000'000);
  EXPECT_EQ(stat->mtime.nsec, 7u);

  // One may fail by itself.
  set = client().Call<Mid::kSetStat>({.fd = root(), .mask = STATX_SIZE | STATX_MODE, .mode = 0711, .size = 5});
  ASSERT_EQ(Outcome(set), "ok");
  EXPECT_EQ(set->failure_mask, STATX_SIZE);
  EXPECT_EQ(set->failure_errno, static_cast<uint32_t>(EISDIR));
  EXPECT_EQ(Permissions(*Stat(root())), 0711);

  EXPECT_EQ(Outcome(client().Call<Mid::kFAllocate>({.fd = file->open, .mode = 0, .offset = 1000, .length = 24})), "ok");
  EXPECT_EQ(Stat(file->control)->size, 1024u);
  auto space = client().Call<Mid::kFStatFS>({.fd = root()});
  ASSERT_EQ(Outcome(space), "ok");
  EXPECT_GT(space->blocks, 0u);
  EXPECT_EQ(space->name_length, 255u);
}

TEST_P(ClientTest, ExtendedAttributes) {
  auto file = Create(root(), "file");
  ASSERT_EQ(Outcome(file), "ok");
  auto set = client().Call<Mid::kFSetXattr>({.fd = file->control, .flags = 0, .name = "user.name", .value = "abc"});
  std::string value;
  auto get = client().Call<Mid::kFGetXattr>({.fd = file->control, .size = 100, .name = "user.name"},
                                            [&](const StringResp& response) { value = response.value; });
  std::vector<std::string> names;
  auto list = client().Call<Mid::kFListXattr>({.fd = file->control, .size = 1000}, [&](const FListXattrResp& response) {
    for (std::string_view name : response.names) names.emplace_back(name);
  });
  if (is_december2022()) {  // It announces the first two all the same.
    EXPECT_EQ(Outcome(set), "EOPNOTSUPP");
    EXPECT_EQ(Outcome(get), "EOPNOTSUPP");
    EXPECT_EQ(Outcome(list), "EOPNOTSUPP");
    return;
  }
  if (Outcome(set) == "EOPNOTSUPP") GTEST_SKIP() << "the file system of " << directory().path() << " has none";
  ASSERT_EQ(Outcome(set), "ok");
  ASSERT_EQ(Outcome(get), "ok");
  EXPECT_EQ(value, "abc");
  ASSERT_EQ(Outcome(list), "ok");
  EXPECT_EQ(names, std::vector<std::string>{"user.name"});
  EXPECT_EQ(Outcome(client().Call<Mid::kFRemoveXattr>({.fd = file->control, .name = "user.name"})), "ok");
  EXPECT_EQ(Outcome(client().Call<Mid::kFRemoveXattr>({.fd = file->control, .name = "user.name"})), "ENODATA");
}

TEST_P(ClientTest, WhatFitsNoMessageIsNotSent) {
  std::string long_name(70000, 'x');
  EXPECT_EQ(Outcome(Walk(root(), {long_name})), "EIO");
  std::vector<std::string_view> names(60, std::string_view(long_name).substr(0, 60000));
  EXPECT_EQ(Outcome(Walk(root(), names)), "EIO");
  EXPECT_EQ(Outcome(Walk(root(), {std::string_view(long_name).substr(0, 60000)})), "ENAMETOOLONG");
  EXPECT_EQ(Outcome(Stat(root())), "ok");
}

TEST_P(ClientTest, AReadOnlyMount) {
  Stop();
  WriteFile(directory() / "file", "contents");
  Start({.read_only = true});
  if (IsSkipped() || HasFatalFailure()) return;
  auto walked = Walk(root(), {"file"});
  ASSERT_EQ(Outcome(walked), "ok");
  auto opened = Open((*walked)[0].control_fd, O_RDONLY);
  ASSERT_EQ(Outcome(opened), "ok");
  std::byte got[20];
  EXPECT_EQ(*client().PRead(opened->open, got, 0), 8u);
  EXPECT_EQ(Outcome(client().PWrite(opened->open, got, 0)), "EROFS");
  EXPECT_EQ(Outcome(Open((*walked)[0].control_fd, O_RDWR)), "EROFS");
  EXPECT_EQ(Outcome(Create(root(), "new")), "EROFS");
  EXPECT_EQ(Outcome(MakeDirectory(root(), "new")), "EROFS");
}

// All that comes with a descriptor besides files.
TEST_P(ClientTest, Sockets) {
  Stop();
  Start({.sockets = true});
  if (IsSkipped() || HasFatalFailure()) return;
  Donations donated;
  auto bound = client().Call<Mid::kBindAt>(
      {.common = {.dir_fd = root(), .uid = 12, .gid = 34, .mode = 0700}, .sock_type = SOCK_STREAM, .name = "service"},
      &donated);
  ASSERT_EQ(Outcome(bound), "ok");
  Fd bound_socket = donated.Take(0);
  EXPECT_TRUE(bound_socket);
  Fdid bound_fd = bound->bound_socket_fd;
  EXPECT_EQ(Outcome(client().Call<Mid::kListen>({.fd = bound_fd, .backlog = 3, .padding = {}})), "ok");
  auto accept = [&](Donations& accepted) {
    return Outcome(client().Call<Mid::kAccept>(
        {.fd = bound_fd}, [](const StringResp& response) { EXPECT_EQ(response.value, ""); }, &accepted));
  };
  Donations accepted;
  EXPECT_EQ(accept(accepted), "EAGAIN");
  EXPECT_EQ(accepted.size(), 0u);

  auto walked = Walk(root(), {"service"});
  ASSERT_EQ(Outcome(walked), "ok");
  ASSERT_EQ(walked->size(), 1u);
  Fdid file = (*walked)[0].control_fd;
  Donations connected;
  EXPECT_EQ(Outcome(client().Call<Mid::kConnect>({.fd = file, .sock_type = SOCK_DGRAM, .padding = {}}, &connected)),
            "EPROTOTYPE");
  ASSERT_EQ(Outcome(client().Call<Mid::kConnect>({.fd = file, .sock_type = SOCK_STREAM, .padding = {}}, &connected)),
            "ok");
  ASSERT_EQ(accept(accepted), "ok");
  Fd one = connected.Take(0), other = accepted.Take(0);
  ASSERT_TRUE(one);
  ASSERT_TRUE(other);
  ASSERT_EQ(write(one.get(), "hello", 5), 5);
  char got[10];
  EXPECT_EQ(read(other.get(), got, sizeof got), 5);

  connected.Clear();
  auto with_creds = client().Call<Mid::kConnectWithCreds>(
      {.fd = file, .sock_type = SOCK_STREAM, .padding = {}, .uid = 0, .gid = 0}, &connected);
  EXPECT_EQ(Outcome(with_creds), is_december2022() ? "EOPNOTSUPP" : "ok");
  EXPECT_EQ(connected.size(), is_december2022() ? 0u : 1u);
}

}  // namespace
}  // namespace lisafs::tests
