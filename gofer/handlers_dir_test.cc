#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <set>
#include <thread>

#include "gofer/gofer_testing.h"

namespace lisafs {
namespace {

class DirTest : public GoferTest {
 protected:
  // Everything there is, a budget's worth at a time.
  std::vector<Entry> ListAll(Fdid open, int32_t budget) {
    std::vector<Entry> all;
    int32_t count = -budget;
    for (;;) {
      auto some = List(open, count);
      EXPECT_TRUE(some) << some.error().ToString();
      if (!some || some->empty()) return all;
      all.insert(all.end(), some->begin(), some->end());
      count = budget;
    }
  }
  std::multiset<std::string> Names(const std::vector<Entry>& entries) {
    std::multiset<std::string> names;
    for (const Entry& entry : entries) names.insert(entry.name);
    return names;
  }
};

TEST_F(DirTest, ListsWithAnyBudget) {
  std::multiset<std::string> made;
  for (int i = 0; i < 500; ++i) {
    std::string name = std::string(i % 50, 'n') + std::to_string(i);
    WriteHostFile(name);
    made.insert(name);
  }
  Serve();
  Fdid open = Open(root(), O_RDONLY).value();
  for (int32_t budget : {80, 100, 1000, 65536, INT_MAX}) EXPECT_EQ(Names(ListAll(open, budget)), made) << budget;
}

TEST_F(DirTest, EntriesAgreeWithStats) {
  WriteHostFile("f");
  ASSERT_EQ(mkdir(Path("d").c_str(), 0755), 0);
  ASSERT_EQ(symlink("f", Path("link").c_str()), 0);
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0644), 0);
  Serve();
  const std::map<std::string, int> types = {{"f", DT_REG}, {"d", DT_DIR}, {"link", DT_LNK}, {"fifo", DT_FIFO}};
  auto entries = ListAll(Open(root(), O_RDONLY).value(), 65536);
  EXPECT_EQ(entries.size(), types.size());
  for (const Entry& entry : entries) {
    Statx stat = Find(root(), entry.name).stat;
    EXPECT_EQ(entry.dirent.type, types.at(entry.name)) << entry.name;
    EXPECT_EQ(entry.dirent.ino, stat.ino) << entry.name;
    EXPECT_EQ(entry.dirent.dev_major, stat.dev_major) << entry.name;
    EXPECT_EQ(entry.dirent.dev_minor, stat.dev_minor) << entry.name;
  }
}

// gVisor's own suite: 40 bytes are enough for one entry and for the two that are left out.
TEST_F(DirTest, ASmallBudgetMakesProgress) {
  Serve();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(Mknod(root(), "file" + std::to_string(i), S_IFREG | 0644));
  Fdid open = Open(root(), O_RDONLY).value();
  std::set<std::string> seen;
  for (int i = 0; i < 12; ++i) {
    auto entries = List(open, 40);
    ASSERT_TRUE(entries);
    if (entries->empty()) break;
    for (const Entry& entry : *entries) seen.insert(entry.name);
  }
  EXPECT_EQ(seen.size(), 10u);
}

TEST_F(DirTest, ABudgetTooSmallForAnythingIsNoEndOfDirectory) {
  WriteHostFile(std::string(201, 'n'));
  Serve();
  Fdid open = Open(root(), O_RDONLY).value();
  EXPECT_EQ(ErrnoOf(List(open, 223)), EINVAL);
  EXPECT_EQ(ErrnoOf(List(open, 223)), EINVAL);
  EXPECT_EQ(List(open, 224)->size(), 1u);
  EXPECT_EQ(List(open, 224)->size(), 0u);
  EXPECT_EQ(List(open, 0)->size(), 0u);
}

TEST_F(DirTest, AResponseThatIsFullLosesNothing) {
  std::multiset<std::string> made;
  for (int i = 0; i < 300; ++i) {
    made.insert("f" + std::to_string(i));
    WriteHostFile("f" + std::to_string(i));
  }
  Serve({.max_message = 1000});
  EXPECT_EQ(Names(ListAll(Open(root(), O_RDONLY).value(), INT_MAX)), made);
}

TEST_F(DirTest, RestartsWhenAsked) {
  for (const char* name : {"a", "b", "c"}) WriteHostFile(name);
  Serve();
  Fdid open = Open(root(), O_RDONLY).value();
  EXPECT_EQ(List(open, 65536)->size(), 3u);
  EXPECT_EQ(List(open, 65536)->size(), 0u);
  WriteHostFile("d");
  EXPECT_EQ(List(open, -65536)->size(), 4u);
  EXPECT_EQ(List(open, INT_MIN)->size(), 4u);
}

TEST_F(DirTest, Fails) {
  WriteHostFile("f");
  Serve();
  EXPECT_EQ(ErrnoOf(List(root(), 1000)), EINVAL);
  EXPECT_EQ(ErrnoOf(List(Open(Find(root(), "f").control_fd, O_RDONLY).value(), 1000)), ENOTDIR);
  EXPECT_EQ(ErrnoOf(List(99, 1000)), EBADF);
}

class ListStatTest : public DirTest {
 protected:
  std::vector<EntryWithStat> ListAllWithStat(Fdid open, uint32_t size) {
    std::vector<EntryWithStat> all;
    for (uint64_t position = 0;; position = all.back().off) {
      auto some = ListStat(open, position, size);
      EXPECT_TRUE(some) << some.error().ToString();
      if (!some || some->empty()) return all;
      all.insert(all.end(), some->begin(), some->end());
    }
  }
};

TEST_F(ListStatTest, GivesWhatFStatWould) {
  WriteHostFile("f", "hello");
  ASSERT_EQ(mkdir(Path("d").c_str(), 0755), 0);
  ASSERT_EQ(symlink("f", Path("link").c_str()), 0);
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0644), 0);
  Serve();
  auto entries = ListAllWithStat(Open(root(), O_RDONLY).value(), 65536);
  EXPECT_EQ(entries.size(), 4u);
  for (const EntryWithStat& entry : entries) {
    Statx stat = Find(root(), entry.name).stat;
    EXPECT_EQ(memcmp(&entry.stat, &stat, sizeof stat), 0) << entry.name;
  }
}

TEST_F(ListStatTest, ListsWithAnyBudgetFromAnyPosition) {
  std::multiset<std::string> made;
  for (int i = 0; i < 500; ++i) {
    std::string name = std::string(i % 50, 'n') + std::to_string(i);
    WriteHostFile(name);
    made.insert(name);
  }
  Serve({.max_message = 20000});
  Fdid open = Open(root(), O_RDONLY).value();
  for (uint32_t size : {210u, 1000u, 4096u, 65536u, UINT32_MAX}) {
    std::multiset<std::string> seen;
    for (const EntryWithStat& entry : ListAllWithStat(open, size)) seen.insert(entry.name);
    EXPECT_EQ(seen, made) << size;
  }
  auto all = ListAllWithStat(open, 65536);
  for (size_t i : {3u, 400u, 77u}) {
    auto next = ListStat(open, all[i].off, 300);
    ASSERT_TRUE(next && !next->empty());
    EXPECT_EQ(next->front().name, all[i + 1].name);
  }
}

TEST_F(ListStatTest, Fails) {
  WriteHostFile(std::string(201, 'n'));
  WriteHostFile("f");
  Serve();
  Fdid open = Open(root(), O_RDONLY).value();
  EXPECT_EQ(ErrnoOf(ListStat(open, 0, 100)), EINVAL);
  EXPECT_EQ(ListStat(open, 0, 0)->size(), 0u);
  EXPECT_EQ(ErrnoOf(ListStat(root(), 0, 1000)), EINVAL);
  EXPECT_EQ(ErrnoOf(ListStat(Open(Find(root(), "f").control_fd, O_RDONLY).value(), 0, 1000)), ENOTDIR);
  EXPECT_EQ(ErrnoOf(ListStat(99, 0, 1000)), EBADF);
  EXPECT_EQ(ErrnoOf(ListStat(open, uint64_t{1} << 63, 1000)), EINVAL);
}

TEST_F(DirTest, TwoListingsOfOneOpenFdShareItsEntries) {
  std::multiset<std::string> made;
  for (int i = 0; i < 2000; ++i) {
    made.insert("f" + std::to_string(i));
    WriteHostFile("f" + std::to_string(i));
  }
  Serve({}, "", 2);
  Fdid open = Open(root(), O_RDONLY).value();
  std::vector<Entry> lists[2];
  std::thread other([&] {
    for (;;) {
      auto some = List(open, 500);
      ASSERT_TRUE(some);
      if (some->empty()) break;
      lists[1].insert(lists[1].end(), some->begin(), some->end());
    }
  });
  for (;;) {
    auto some = List(open, 500);
    EXPECT_TRUE(some);
    if (!some || some->empty()) break;
    lists[0].insert(lists[0].end(), some->begin(), some->end());
  }
  other.join();
  std::multiset<std::string> seen = Names(lists[0]);
  seen.merge(Names(lists[1]));
  EXPECT_EQ(seen, made);
}

}  // namespace
}  // namespace lisafs
