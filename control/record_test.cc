// What a mount is asked for, as lisafsd tells it. The test itself notes what a gofer would.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>

#include <map>

#include "base/fd.h"
#include "control/service_testing.h"
#include "lisafs/counters.h"

namespace lisafs {
namespace {

using grpc::StatusCode;
using testing::Key;
using testing::UnorderedElementsAre;

class RecordTest : public ServiceTest {
 protected:
  static v1::RecordAccessRequest Of(const std::string& sandbox, const std::string& target) {
    v1::RecordAccessRequest request;
    request.set_sandbox_id(sandbox);
    request.set_target(target);
    return request;
  }
};

TEST_F(RecordTest, FilesAreNamedWithWhatWasDone) {
  v1::Sandbox sandbox;
  ASSERT_TRUE(Create(Request("web"), &sandbox).ok());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  auto reader = stub_->RecordAccess(&context, Of("web", "/"));
  v1::RecordAccessResponse response;
  ASSERT_TRUE(reader->Read(&response)) << reader->Finish().error_message();
  EXPECT_EQ(response.files_size(), 0) << "it has begun";
  // As the gofer would.
  Fd file(open((StateDir() + "/web/counters").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(file.valid());
  void* mapped = mmap(nullptr, sizeof(CountersPage), PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  ASSERT_NE(mapped, MAP_FAILED);
  AccessRingWriter writer(static_cast<CountersPage*>(mapped)->accesses);
  writer.Append(1, kReadFrom, "/of another mount");
  writer.Append(0, kMade | kWrittenTo, "/made");
  writer.Append(0, kLookedUp | kMissing, "/none");
  writer.Append(0, kLookedUp | kMissing, "/not \xff UTF-8");
  std::map<std::string, v1::FileAccess> files;
  while (files.size() < 3 && reader->Read(&response)) {
    for (const v1::FileAccess& each : response.files()) files[each.path()] = each;
    EXPECT_FALSE(response.incomplete());
  }
  EXPECT_THAT(files, UnorderedElementsAre(Key("/made"), Key("/none"), Key("/not \xff UTF-8")));
  EXPECT_TRUE(files["/made"].made() && files["/made"].written());
  EXPECT_FALSE(files["/made"].read() || files["/made"].missing() || files["/made"].looked_up());
  EXPECT_TRUE(files["/none"].missing());
  // A gofer that is lost may say anything.
  static_cast<CountersPage*>(mapped)->accesses.end = UINT64_MAX;
  munmap(mapped, sizeof(CountersPage));
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_TRUE(response.incomplete());
  EXPECT_GE(response.missed(), 1u);
  ASSERT_TRUE(Delete("web").ok());
  while (reader->Read(&response)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), StatusCode::NOT_FOUND);
}

TEST_F(RecordTest, WhatIsNotThereCannotBeRecorded) {
  ASSERT_TRUE(Create(Request("web")).ok());
  struct Bad {
    std::string sandbox, target;
    StatusCode code;
  };
  for (const Bad& bad : {Bad{"web", "/nowhere", StatusCode::NOT_FOUND}, Bad{"nobody", "/", StatusCode::NOT_FOUND},
                         Bad{"", "/", StatusCode::INVALID_ARGUMENT}}) {
    grpc::ClientContext context;
    auto reader = stub_->RecordAccess(&context, Of(bad.sandbox, bad.target));
    v1::RecordAccessResponse response;
    EXPECT_FALSE(reader->Read(&response));
    EXPECT_EQ(reader->Finish().error_code(), bad.code) << bad.sandbox << " " << bad.target;
  }
}

}  // namespace
}  // namespace lisafs
