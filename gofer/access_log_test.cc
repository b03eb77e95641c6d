// What the gofer notes of requests while somebody wants to know.

#include "gofer/access_log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <string.h>
#include <sys/stat.h>

#include <map>

#include "gofer/gofer_testing.h"

namespace lisafs {
namespace {

using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

class AccessLogTest : public GoferTest {
 protected:
  AccessLogTest() {
    recording = {.log = &log_, .mount = 7};
    live_.recordings = 1;
  }

  // What was noted since the last time.
  std::map<std::string, uint16_t> Noted() {
    std::map<std::string, uint16_t> noted;
    while (at_ < ring_->end) {
      AccessRecord record;
      memcpy(&record, ring_->bytes + at_, sizeof record);
      EXPECT_EQ(record.mount, 7);
      const std::string path(reinterpret_cast<const char*>(ring_->bytes + at_ + sizeof record), record.path_length);
      noted[path] |= record.what;
      at_ += sizeof record + record.path_length;
    }
    return noted;
  }
  Connection::Options Recorded(bool read_only = false) { return {.read_only = read_only, .policy = &live_}; }

  const std::unique_ptr<AccessRing> ring_ = std::make_unique<AccessRing>();
  AccessLog log_{*ring_};
  LivePolicy live_;
  size_t at_ = 0;
};

TEST_F(AccessLogTest, NamesAreFullPaths) {
  Serve(Recorded());
  const Inode dir = *Mkdir(root(), "dir");
  const Inode sub = *Mkdir(dir.control_fd, "sub");
  const auto file = *Create(sub.control_fd, "file", O_WRONLY);
  EXPECT_THAT(Noted(), UnorderedElementsAre(Pair("/dir", kMade), Pair("/dir/sub", kMade),
                                            Pair("/dir/sub/file", kMade | kWrittenTo)));

  ASSERT_TRUE(Open(file.child.control_fd, O_RDONLY | static_cast<int>(kOpenToExecute)));
  ASSERT_TRUE(Stat(file.open_fd));
  ASSERT_TRUE(SetStat({.fd = file.child.control_fd, .mask = STATX_MODE, .mode = 0600}));
  EXPECT_THAT(Noted(),
              UnorderedElementsAre(Pair("/dir/sub/file", kReadFrom | kExecuted | kLookedUp | kAttributesChanged)));
  ASSERT_TRUE(SetStat({.fd = file.child.control_fd, .mask = STATX_SIZE, .size = 1}));
  EXPECT_THAT(Noted(), UnorderedElementsAre(Pair("/dir/sub/file", kWrittenTo)));

  // Paths follow what is renamed.
  ASSERT_TRUE(Rename(root(), "dir", root(), "moved"));
  ASSERT_TRUE(Link(root(), file.child.control_fd, "hard"));
  ASSERT_TRUE(Symlink(sub.control_fd, "link", "target"));
  EXPECT_THAT(Noted(), UnorderedElementsAre(Pair("/dir", kRemoved), Pair("/moved", kMade), Pair("/hard", kMade),
                                            Pair("/moved/sub/file", kLookedUp), Pair("/moved/sub/link", kMade)));
  ASSERT_TRUE(Unlink(sub.control_fd, "file"));
  ASSERT_EQ(ErrnoOf(Unlink(sub.control_fd, "file")), ENOENT);
  ASSERT_TRUE(ReadLink(Find(sub.control_fd, "link").control_fd));
  ASSERT_TRUE(List(*Open(sub.control_fd, O_RDONLY), 4096));
  EXPECT_THAT(Noted(),
              UnorderedElementsAre(Pair("/moved/sub/file", kRemoved | kMissing),
                                   Pair("/moved/sub/link", kReadFrom | kLookedUp), Pair("/moved/sub", kReadFrom)));
}

TEST_F(AccessLogTest, LookupsThatFindNothing) {
  Serve(Recorded());
  ASSERT_TRUE(Mkdir(root(), "dir"));
  ASSERT_TRUE(Symlink(root(), "link", "dir"));
  Noted();
  ASSERT_TRUE(WalkStat(root(), {"none"}));
  ASSERT_TRUE(WalkStat(root(), {"", "dir", "none", "below"}));
  EXPECT_THAT(Noted(),
              UnorderedElementsAre(Pair("/", kLookedUp), Pair("/dir", kLookedUp), Pair("/none", kLookedUp | kMissing),
                                   Pair("/dir/none", kLookedUp | kMissing)));
  // A walk that ends at a link has not looked beyond it.
  ASSERT_TRUE(Walk(root(), {"link", "beyond"}));
  ASSERT_TRUE(Walk(root(), {"dir", "other"}));
  EXPECT_THAT(Noted(), UnorderedElementsAre(Pair("/link", kLookedUp), Pair("/dir", kLookedUp),
                                            Pair("/dir/other", kLookedUp | kMissing)));
}

TEST_F(AccessLogTest, RefusalsAndWhatMakesNoSense) {
  WriteHostFile("file");
  Serve(Recorded(/*read_only=*/true));
  EXPECT_EQ(ErrnoOf(Mkdir(root(), "dir")), EROFS);
  EXPECT_EQ(ErrnoOf(Unlink(root(), "file")), EROFS);
  EXPECT_EQ(ErrnoOf(Mkdir(root(), "a/../b")), EROFS);
  EXPECT_EQ(ErrnoOf(Mkdir(root(), std::string_view("a\0b", 3))), EROFS);
  EXPECT_EQ(ErrnoOf(Mkdir(12345, "dir")), EROFS);
  EXPECT_THAT(Noted(), UnorderedElementsAre(Pair("/dir", kMade | kRefused), Pair("/file", kRemoved | kRefused)));
  EXPECT_FALSE(WalkStat(root(), {"..", "x"}));
  EXPECT_FALSE(Stat(12345));
  EXPECT_THAT(Noted(), IsEmpty());
}

TEST_F(AccessLogTest, UnnamedFilesAndLongPaths) {
  Serve(Recorded());
  const auto unnamed = *CreateUnnamed(root());
  ASSERT_TRUE(Stat(unnamed.open_fd));
  EXPECT_THAT(Noted(), IsEmpty());
  Fdid at = root();
  for (size_t length = 0; length < 2 * kMaxAccessPath; length += 256) at = Mkdir(at, std::string(255, 'x'))->control_fd;
  size_t longest = 0;
  for (const auto& [path, what] : Noted()) longest = std::max(longest, path.size());
  EXPECT_EQ(longest, kMaxAccessPath);
  EXPECT_EQ(ring_->end, at_);
}

TEST_F(AccessLogTest, NothingIsNotedWhileNobodyAsks) {
  live_.recordings = 0;
  Serve(Recorded());
  ASSERT_TRUE(Mkdir(root(), "dir"));
  EXPECT_EQ(ring_->end, 0u);
  EXPECT_EQ(ring_->records, 0u);
}

}  // namespace
}  // namespace lisafs
