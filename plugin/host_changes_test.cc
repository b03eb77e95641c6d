#include "plugin/host_changes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <condition_variable>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "plugin/fake_client.h"
#include "plugin/fuse_kernel.h"

namespace lisafs {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

// Takes down what the kernel is told to forget.
class Recorder : public FuseTransport {
 public:
  Result<size_t> Receive(std::span<std::byte>) override { return Fail(ENODEV); }
  Status Send(std::span<const std::byte> message) override {
    fuse_out_header header;
    memcpy(&header, message.data(), sizeof header);
    EXPECT_EQ(header.len, message.size());
    EXPECT_EQ(header.unique, 0u);
    const std::byte* body = message.data() + sizeof header;
    std::lock_guard lock(mutex_);
    if (header.error == FUSE_NOTIFY_INVAL_INODE) {
      fuse_notify_inval_inode_out node;
      memcpy(&node, body, sizeof node);
      told_.push_back((node.off < 0 ? "attributes " : "content ") + std::to_string(node.ino));
    } else if (header.error == FUSE_NOTIFY_INVAL_ENTRY) {
      fuse_notify_inval_entry_out entry;
      memcpy(&entry, body, sizeof entry);
      EXPECT_EQ(entry.flags, unsigned{FUSE_EXPIRE_ONLY});
      std::string name(reinterpret_cast<const char*>(body + sizeof entry));
      EXPECT_EQ(name.size(), entry.namelen);
      told_.push_back("name " + name + " in " + std::to_string(entry.parent));
    } else if (header.error == kFuseNotifyIncEpoch) {
      if (!knows_epochs) return Fail(EINVAL);
      told_.push_back("names");
    } else {
      ADD_FAILURE() << header.error;
    }
    changed_.notify_all();
    return {};
  }
  std::vector<std::string> Take() {
    std::lock_guard lock(mutex_);
    return std::exchange(told_, {});
  }
  void WaitForOne() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !told_.empty(); });
  }

  bool knows_epochs = true;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> told_;
};

class HostChangesTest : public testing::Test {
 protected:
  void SetUp() override {
    client_.Add("d", S_IFDIR | 0755);
    file_ = Intern(1, "d/f", S_IFREG | 0644);
    int pair[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    socket_ = Fd(pair[0]);
    changes_.emplace(Fd(pair[1]), nodes_, watches_, kernel_);
  }
  uint64_t Intern(uint64_t parent, const std::string& path, uint16_t mode) {
    auto file = client_.Add(path, mode);
    auto directory = nodes_.Find(parent);
    return nodes_.Intern(**directory, path.substr(path.rfind('/') + 1), file->stat);
  }
  static std::string Encoded(const std::vector<HostChange>& changes) {
    std::string bytes;
    for (const HostChange& change : changes) {
      std::byte room[512];
      Writer writer(room);
      Encode(writer, change);
      bytes.append(reinterpret_cast<char*>(room), writer.size());
    }
    return bytes;
  }
  std::vector<std::string> Told(const std::vector<HostChange>& changes) {
    const std::string bytes = Encoded(changes);
    changes_->Apply(std::as_bytes(std::span(bytes)));
    return kernel_.Take();
  }

  FakeClient client_;
  InodeTable nodes_{client_};
  Watches watches_;
  Recorder kernel_;
  uint64_t file_ = 0;
  Fd socket_;
  std::optional<HostChanges> changes_;
};

TEST_F(HostChangesTest, OfNames) {
  EXPECT_THAT(Told({{1, HostChange::kCreated, "new"}}), ElementsAre("name new in 1", "content 1"));
  EXPECT_THAT(Told({{1, HostChange::kDeleted, "f"}}),
              ElementsAre("name f in 1", "content 1", "attributes " + std::to_string(file_)));
  EXPECT_THAT(Told({{1, HostChange::kMovedFrom | HostChange::kPaired, "a"}, {1, HostChange::kMovedTo, "b"}}),
              ElementsAre("name a in 1", "content 1", "name b in 1", "content 1"));
}

TEST_F(HostChangesTest, OfFiles) {
  EXPECT_THAT(Told({{1, HostChange::kModified, "f"}}), ElementsAre("content " + std::to_string(file_)));
  EXPECT_THAT(Told({{1, HostChange::kAttributes, "f"}}), ElementsAre("attributes " + std::to_string(file_)));
  EXPECT_THAT(Told({{1, HostChange::kModified, "unknown"}}), IsEmpty());
  EXPECT_THAT(Told({{1, HostChange::kAttributes | HostChange::kIsDirectory, ""}}), ElementsAre("attributes 1"));
  EXPECT_THAT(Told({{99, HostChange::kCreated, "x"}}), IsEmpty());
}

TEST_F(HostChangesTest, PagesOfWhatTheContainerWritesStay) {
  (*nodes_.Find(file_))->Wrote();
  EXPECT_THAT(Told({{1, HostChange::kModified, "f"}}), ElementsAre("attributes " + std::to_string(file_)));
}

TEST_F(HostChangesTest, WhenNewsAreLostEverythingGoes) {
  EXPECT_THAT(Told({{0, HostChange::kLost, ""}}),
              UnorderedElementsAre("names", "content 1", "content " + std::to_string(file_)));
  kernel_.knows_epochs = false;
  EXPECT_THAT(Told({{0, HostChange::kLost, ""}}),
              UnorderedElementsAre("name f in 1", "content 1", "content " + std::to_string(file_)));
}

TEST_F(HostChangesTest, MalformedOnesAreLeftOut) {
  std::string bytes = Encoded({{1, HostChange::kCreated, "new"}, {1, HostChange::kCreated, "cut"}});
  bytes.pop_back();
  changes_->Apply(std::as_bytes(std::span(bytes)));
  EXPECT_THAT(kernel_.Take(), ElementsAre("name new in 1", "content 1"));
  EXPECT_THAT(Told({}), IsEmpty());
}

TEST_F(HostChangesTest, ReadsItsSocket) {
  const uint64_t before = watches_.changes();
  const std::string bytes = Encoded({{1, HostChange::kAttributes, "f"}});
  ASSERT_EQ(send(socket_.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  kernel_.WaitForOne();
  EXPECT_GT(watches_.changes(), before);
}

TEST_F(HostChangesTest, EndsWithTheServer) {
  socket_.reset();
  while (watches_.subscribed()) std::this_thread::yield();
  changes_.reset();
}

}  // namespace
}  // namespace lisafs
