#include "plugin/host_changes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <optional>
#include <string>
#include <vector>

#include "plugin/fake_client.h"
#include "plugin/recording_kernel.h"

namespace lisafs {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class HostChangesTest : public testing::Test {
 protected:
  void SetUp() override {
    client_.Add("d", S_IFDIR | 0755);
    file_ = Intern(1, "d/f", S_IFREG | 0644);
    int pair[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    socket_ = Fd(pair[0]);
    changes_.emplace(Fd(pair[1]), nodes_, absent_, watches_, waker_, kernel_);
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
  AbsentNames absent_;
  Watches watches_;
  WakerLink waker_{nodes_};
  RecordingKernel kernel_;
  uint64_t file_ = 0;
  Fd socket_;
  std::optional<HostChanges> changes_;
};

TEST_F(HostChangesTest, OfNames) {
  EXPECT_THAT(Told({{1, HostChange::kCreated, "new"}}), ElementsAre("content 1", "name new in 1"));
  EXPECT_THAT(Told({{1, HostChange::kDeleted, "f"}}),
              ElementsAre("content 1", "name f in 1", "attributes " + std::to_string(file_)));
  EXPECT_THAT(Told({{1, HostChange::kMovedFrom | HostChange::kPaired, "a"}, {1, HostChange::kMovedTo, "b"}}),
              ElementsAre("content 1", "name a in 1", "content 1", "name b in 1"));
}

TEST_F(HostChangesTest, OfFiles) {
  EXPECT_THAT(Told({{1, HostChange::kModified, "f"}}), ElementsAre("content " + std::to_string(file_)));
  EXPECT_THAT(Told({{1, HostChange::kAttributes, "f"}}), ElementsAre("attributes " + std::to_string(file_)));
  EXPECT_THAT(Told({{1, HostChange::kModified, "unknown"}}), IsEmpty());
  EXPECT_THAT(Told({{1, HostChange::kAttributes | HostChange::kIsDirectory, ""}}), ElementsAre("attributes 1"));
  EXPECT_THAT(Told({{99, HostChange::kCreated, "x"}}), IsEmpty());
}

TEST_F(HostChangesTest, OfAttributesAFileLacked) {
  auto lacks = [&] { return (*nodes_.Find(file_))->lacks_xattr_until() > MonotonicNanoseconds(); };
  (*nodes_.Find(file_))->LacksXattrFor(uint64_t{3600} * 1'000'000'000, 0);
  Told({{1, HostChange::kModified, "f"}});
  EXPECT_TRUE(lacks());
  Told({{1, HostChange::kAttributes, "f"}});
  EXPECT_FALSE(lacks());
}

TEST_F(HostChangesTest, PagesOfWhatTheContainerWritesStay) {
  (*nodes_.Find(file_))->Wrote();
  EXPECT_THAT(Told({{1, HostChange::kModified, "f"}}), ElementsAre("attributes " + std::to_string(file_)));
}

TEST_F(HostChangesTest, ButNotIfOthersCertainlyWrote) {
  (*nodes_.Find(file_))->Wrote();
  EXPECT_THAT(Told({{1, HostChange::kModified | HostChange::kByOthers, "f"}}),
              ElementsAre("content " + std::to_string(file_)));
}

TEST_F(HostChangesTest, WhenNewsAreLostEverythingGoes) {
  EXPECT_THAT(Told({{0, HostChange::kLost, ""}}),
              UnorderedElementsAre("name f in 1", "content 1", "content " + std::to_string(file_)));
}

TEST_F(HostChangesTest, MalformedOnesAreLeftOut) {
  std::string bytes = Encoded({{1, HostChange::kCreated, "new"}, {1, HostChange::kCreated, "cut"}});
  bytes.pop_back();
  changes_->Apply(std::as_bytes(std::span(bytes)));
  EXPECT_THAT(kernel_.Take(), ElementsAre("content 1", "name new in 1"));
  EXPECT_THAT(Told({}), IsEmpty());
}

TEST_F(HostChangesTest, ReadsItsSocket) {
  const uint64_t before = watches_.changes();
  const std::string bytes = Encoded({{1, HostChange::kAttributes, "f"}});
  ASSERT_EQ(send(socket_.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  kernel_.WaitFor(1);
  EXPECT_GT(watches_.changes(), before);
}

TEST_F(HostChangesTest, EndsWithTheServer) {
  socket_.reset();
  while (watches_.subscribed()) std::this_thread::yield();
  changes_.reset();
}

}  // namespace
}  // namespace lisafs
