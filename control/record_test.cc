// Which files of a mount are used, as lisafsd records it from a gofer that lives. The gofer here is the test itself as
// far as the files go: what it opens through the gofer's tree is what a gofer would open.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include "base/fd.h"
#include "control/gofer_tree.h"
#include "control/service_testing.h"

namespace lisafs {
namespace {

using grpc::StatusCode;

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
  auto tree = GoferTreePath(sandbox.gofer_pid(), 0);
  ASSERT_TRUE(tree.ok()) << tree.status();

  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  auto reader = stub_->RecordAccess(&context, Of("web", "/"));
  v1::RecordAccessResponse response;
  ASSERT_TRUE(reader->Read(&response)) << reader->Finish().error_message();
  EXPECT_EQ(response.files_size(), 0) << "it has begun";
  {
    Fd root(open(tree->c_str(), O_PATH | O_CLOEXEC));
    Fd file(openat(root.get(), "made", O_CREAT | O_RDWR | O_CLOEXEC, 0644));
    ASSERT_TRUE(file.valid());
    ASSERT_EQ(write(file.get(), "x", 1), 1);
  }
  v1::FileAccess made;
  while (!made.written() && reader->Read(&response)) {
    for (const v1::FileAccess& file : response.files()) {
      EXPECT_EQ(file.path(), "/made");
      made = file;
    }
  }
  EXPECT_TRUE(made.written());
  EXPECT_FALSE(made.read());
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
  EXPECT_FALSE(GoferTreePath(getpid(), 0).ok());
  EXPECT_FALSE(GoferTreePath(INT32_MAX, 0).ok());
}

}  // namespace
}  // namespace lisafs
