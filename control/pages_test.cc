// Lists that come in pages, requests that are repeated, and what is said of processes.

#include <gmock/gmock.h>

#include <filesystem>

#include "control/service_testing.h"

namespace lisafs {
namespace {

using grpc::StatusCode;
using testing::ElementsAre;
using testing::IsEmpty;

class PagesTest : public ServiceTest {
 protected:
  // Sandboxes of one mount each.
  void CreateThree() {
    for (const std::string id : {"b", "a", "c"}) {
      v1::CreateSandboxRequest request = Request(id);
      request.mutable_mounts()->RemoveLast();
      const std::string mount_point = caller_->Path("at_" + id);
      // The caller alone sees its tmpfs.
      std::filesystem::create_directory("/proc/" + std::to_string(caller_->pid()) + "/root" + mount_point);
      request.mutable_mounts(0)->set_mount_point(mount_point);
      grpc::Status created = Create(request);
      ASSERT_TRUE(created.ok()) << created.error_message();
    }
  }
};

TEST_F(PagesTest, ListsComeInPages) {
  ASSERT_NO_FATAL_FAILURE(CreateThree());
  std::vector<std::string> ids;
  v1::ListSandboxesRequest request;
  request.set_page_size(2);
  int pages = 0;
  do {
    grpc::ClientContext context;
    v1::ListSandboxesResponse response;
    ASSERT_TRUE(stub_->ListSandboxes(&context, request, &response).ok());
    for (const v1::Sandbox& sandbox : response.sandboxes()) ids.push_back(sandbox.id());
    request.set_page_token(response.next_page_token());
    ++pages;
  } while (!request.page_token().empty());
  EXPECT_THAT(ids, ElementsAre("a", "b", "c"));
  EXPECT_EQ(pages, 2);

  grpc::ClientContext mounts_context;
  v1::ListMountsRequest mounts_request;
  mounts_request.set_page_size(1);
  mounts_request.set_page_token("a");
  v1::ListMountsResponse mounts;
  ASSERT_TRUE(stub_->ListMounts(&mounts_context, mounts_request, &mounts).ok());
  ASSERT_EQ(mounts.entries_size(), 1);
  EXPECT_EQ(mounts.entries(0).sandbox_id(), "b");
  EXPECT_EQ(mounts.next_page_token(), "b");

  grpc::ClientContext statistics_context;
  v1::GetStatisticsRequest statistics_request;
  statistics_request.set_page_token("b");
  statistics_request.set_with_processes(true);
  v1::GetStatisticsResponse statistics;
  ASSERT_TRUE(stub_->GetStatistics(&statistics_context, statistics_request, &statistics).ok());
  ASSERT_EQ(statistics.mounts_size(), 1);
  EXPECT_EQ(statistics.mounts(0).sandbox_id(), "c");
  EXPECT_EQ(statistics.next_page_token(), "");
  ASSERT_GE(statistics.processes_size(), 2);
  EXPECT_EQ(statistics.processes(0).program(), "gofer");
  EXPECT_GT(statistics.processes(0).resident_bytes(), 0u);
  EXPECT_GT(statistics.processes(0).open_fds(), 0u);
}

TEST_F(PagesTest, WhatIsNoPageIsRefused) {
  for (int32_t size : {-1, 1001}) {
    grpc::ClientContext context;
    v1::ListSandboxesRequest request;
    request.set_page_size(size);
    v1::ListSandboxesResponse response;
    EXPECT_EQ(stub_->ListSandboxes(&context, request, &response).error_code(), StatusCode::INVALID_ARGUMENT) << size;
  }
  grpc::ClientContext context;
  v1::ListMountsRequest request;
  request.set_page_token("../x");
  v1::ListMountsResponse response;
  EXPECT_EQ(stub_->ListMounts(&context, request, &response).error_code(), StatusCode::INVALID_ARGUMENT);
}

TEST_F(PagesTest, ARequestThatIsRepeatedGetsTheSameSandbox) {
  v1::CreateSandboxRequest request = Request("web");
  request.set_request_id("one");
  v1::Sandbox first, again;
  ASSERT_TRUE(Create(request, &first).ok());
  ASSERT_TRUE(Create(request, &again).ok());
  EXPECT_EQ(first.gofer_pid(), again.gofer_pid());
  // Also by a later lisafsd.
  ASSERT_EQ(StopDaemon(SIGTERM), 0);
  StartDaemon();
  ASSERT_TRUE(Create(request, &again).ok());
  EXPECT_EQ(first.gofer_pid(), again.gofer_pid());

  request.set_request_id("two");
  EXPECT_EQ(Create(request).error_code(), StatusCode::ALREADY_EXISTS);
  request.clear_request_id();
  EXPECT_EQ(Create(request).error_code(), StatusCode::ALREADY_EXISTS);
  request.set_request_id(std::string(129, 'x'));
  EXPECT_EQ(Create(request).error_code(), StatusCode::INVALID_ARGUMENT);
}

}  // namespace
}  // namespace lisafs
