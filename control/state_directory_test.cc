#include "control/state_directory.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "lisafs/counters.h"

namespace lisafs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class StateDirectoryTest : public testing::Test {
 protected:
  StateDirectoryTest() {
    std::string name = testing::TempDir() + "/state.XXXXXX";
    root_ = mkdtemp(name.data());
  }
  ~StateDirectoryTest() override { std::filesystem::remove_all(root_); }

  std::string Path() { return root_ + "/run/state"; }

  std::string root_;
};

state::v1::SandboxState State() {
  state::v1::SandboxState state;
  state.set_gofer_start_time(UINT64_MAX);
  state.set_plugin_start_time(5);
  control::v1::Sandbox& sandbox = *state.mutable_sandbox();
  sandbox.set_id("web");
  sandbox.set_state(control::v1::Sandbox::STATE_RUNNING);
  sandbox.set_gofer_pid(7);
  sandbox.mutable_create_time()->set_seconds(1'700'000'000);
  control::v1::MountSpec& spec = *sandbox.add_mounts()->mutable_spec();
  spec.set_target("/\"quoted\"\n");
  spec.set_read_only(true);
  return state;
}

TEST_F(StateDirectoryTest, IsPrivateAndLocked) {
  auto first = StateDirectory::Open(Path());
  ASSERT_TRUE(first.ok()) << first.status();
  struct stat stat;
  ASSERT_EQ(::stat(Path().c_str(), &stat), 0);
  EXPECT_EQ(stat.st_mode & 07777, 0700u);
  absl::Status second = StateDirectory::Open(Path()).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.message()), HasSubstr("another lisafsd uses it"));
  first = absl::UnknownError("closed");
  EXPECT_TRUE(StateDirectory::Open(Path()).ok());
}

// Whoever plants one that is his, or a link, is not believed.
TEST_F(StateDirectoryTest, IsNotTakenFromOthers) {
  ASSERT_TRUE(std::filesystem::create_directories(Path()));
  ASSERT_EQ(chmod(Path().c_str(), 0777), 0);
  auto opened = StateDirectory::Open(Path());
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(opened.status().message()), HasSubstr("/run/state: is writable for others"));
  ASSERT_EQ(chmod(Path().c_str(), 0700), 0);
  ASSERT_EQ(chmod((root_ + "/run").c_str(), 0777), 0);
  EXPECT_FALSE(StateDirectory::Open(Path()).ok()) << "others could put another in its place";
  ASSERT_EQ(chmod((root_ + "/run").c_str(), 0755), 0);
  EXPECT_TRUE(StateDirectory::Open(Path()).ok());
}

TEST_F(StateDirectoryTest, AStateComesBackAsItWas) {
  auto directory = StateDirectory::Open(Path());
  ASSERT_TRUE(directory.ok());
  auto sandbox = directory->Create("web");
  ASSERT_TRUE(sandbox.ok());
  EXPECT_EQ(directory->Create("web").status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(sandbox->ReadState().status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(sandbox->WriteState(State()).ok());
  auto read = directory->Get("web").ReadState();
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->version(), 2u);
  EXPECT_FALSE(read->boot_id().empty());
  read->clear_version();
  read->clear_boot_id();
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(*read, State())) << read->DebugString();
  EXPECT_FALSE(std::filesystem::exists(Path() + "/web/sandbox.json.new"));

  std::ofstream(Path() + "/stray") << "";
  auto ids = directory->Ids();
  ASSERT_TRUE(ids.ok());
  EXPECT_THAT(*ids, ElementsAre("web"));
  EXPECT_TRUE(sandbox->Remove().ok());
  EXPECT_FALSE(std::filesystem::exists(Path() + "/web"));
}

TEST_F(StateDirectoryTest, DamagedStatesAreRefused) {
  auto directory = StateDirectory::Open(Path());
  ASSERT_TRUE(directory.ok());
  auto sandbox = directory->Create("web");
  ASSERT_TRUE(sandbox.ok());
  ASSERT_TRUE(sandbox->WriteState(State()).ok());
  std::string file = Path() + "/web/sandbox.json";
  std::stringstream good;
  good << std::ifstream(file).rdbuf();

  struct Damage {
    std::string from;
    std::string to;
    absl::StatusCode code;
  };
  const Damage cases[] = {
      {"\"version\": 2", "\"version\": 1", absl::StatusCode::kFailedPrecondition},
      {"\"version\": 2", "\"version\": \"x\"", absl::StatusCode::kDataLoss},
      {"\"version\": 2", "\"version\": 3, \"later\": []", absl::StatusCode::kFailedPrecondition},
      {"\"bootId\": \"", "\"bootId\": \"0", absl::StatusCode::kFailedPrecondition},
      {"\"id\": \"web\"", "\"id\": \"../web\"", absl::StatusCode::kDataLoss},
      {"STATE_RUNNING", "STATE_UNSPECIFIED", absl::StatusCode::kDataLoss},
      {"\"goferPid\": 7", "\"goferPid\": -7", absl::StatusCode::kDataLoss},
      {"\"goferPid\": 7", "\"goferPid\": 99999999999", absl::StatusCode::kDataLoss},
      {"\"mounts\"", "\"mount\"", absl::StatusCode::kDataLoss},
  };
  for (const Damage& damage : cases) {
    std::string text = good.str();
    size_t at = text.find(damage.from);
    ASSERT_NE(at, std::string::npos) << damage.from << " in " << text;
    std::ofstream(file) << text.replace(at, damage.from.size(), damage.to);
    EXPECT_EQ(sandbox->ReadState().status().code(), damage.code) << damage.to;
  }
  for (size_t size : {size_t{0}, size_t{1}, good.str().size() / 2}) {
    std::ofstream(file) << good.str().substr(0, size);
    EXPECT_FALSE(sandbox->ReadState().ok()) << size;
  }
}

TEST_F(StateDirectoryTest, CountersAreAnEmptyPage) {
  auto directory = StateDirectory::Open(Path());
  ASSERT_TRUE(directory.ok());
  auto sandbox = directory->Create("web");
  ASSERT_TRUE(sandbox.ok());
  auto counters = sandbox->CreateCounters();
  ASSERT_TRUE(counters.ok()) << counters.status();
  struct stat stat;
  ASSERT_EQ(fstat(counters->get(), &stat), 0);
  EXPECT_EQ(static_cast<size_t>(stat.st_size), sizeof(CountersPage));
  EXPECT_LT(stat.st_blocks, 64);
  EXPECT_TRUE(sandbox->OpenCounters().ok());
}

TEST_F(StateDirectoryTest, RemovesOnlyWhatIsItsOwn) {
  auto directory = StateDirectory::Open(Path());
  ASSERT_TRUE(directory.ok());
  auto sandbox = directory->Create("web");
  ASSERT_TRUE(sandbox.ok());
  std::ofstream(Path() + "/web/precious") << "";
  EXPECT_FALSE(sandbox->Remove().ok());
  EXPECT_TRUE(std::filesystem::exists(Path() + "/web/precious"));
}

}  // namespace
}  // namespace lisafs
