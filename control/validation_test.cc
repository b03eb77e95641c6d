#include "control/validation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace lisafs {
namespace {

using control::v1::CreateSandboxRequest;
using testing::HasSubstr;

TEST(SandboxId, Allowed) {
  for (const std::string& id : {std::string("a"), std::string("A-z_0+9."), std::string("..."), std::string(255, 'x')}) {
    EXPECT_TRUE(ValidateSandboxId(id).ok()) << id;
  }
  for (const std::string& id :
       {std::string(), std::string("."), std::string(".."), std::string("a/b"), std::string("a b"),
        std::string("a\0b", 3), std::string("\u00e9"), std::string(256, 'x')}) {
    EXPECT_EQ(ValidateSandboxId(id).code(), absl::StatusCode::kInvalidArgument) << id;
  }
}

// One that is valid, with mounts "/0" and up.
CreateSandboxRequest Request(int mounts) {
  CreateSandboxRequest request;
  request.set_id("web");
  request.set_caller_pid(1);
  for (int i = 0; i < mounts; ++i) {
    control::v1::MountSpec* mount = request.add_mounts();
    mount->set_target("/" + std::to_string(i));
    mount->set_source("/srv");
    mount->set_mount_point("/mnt/" + std::to_string(i));
  }
  return request;
}

TEST(CreateSandbox, Allowed) {
  EXPECT_TRUE(ValidateCreateSandbox(Request(1)).ok());
  EXPECT_TRUE(ValidateCreateSandbox(Request(64)).ok());
  CreateSandboxRequest request = Request(2);
  request.mutable_mounts(0)->set_target("/");
  request.mutable_mounts(0)->set_source("/" + std::string(4094, 's'));
  EXPECT_TRUE(ValidateCreateSandbox(request).ok());
}

TEST(CreateSandbox, CachingIsChosen) {
  using control::v1::MountSpec;
  CreateSandboxRequest request = Request(3);
  const char* sources[] = {"/pods/1/root/", "/srv", "/srv2"};
  for (int i = 0; i < 3; ++i) request.mutable_mounts(i)->set_source(sources[i]);
  request.mutable_mounts(0)->set_target("/");
  request.mutable_mounts(2)->set_cache(MountSpec::CACHE_EXCLUSIVE);
  auto chosen = [](CreateSandboxRequest request, int mount) {
    EXPECT_TRUE(ValidateCreateSandbox(request).ok());
    ChooseCaching(request);
    return request.mounts(mount).cache();
  };
  EXPECT_EQ(chosen(request, 0), MountSpec::CACHE_EXCLUSIVE);
  EXPECT_EQ(chosen(request, 1), MountSpec::CACHE_SHARED);
  EXPECT_EQ(chosen(request, 2), MountSpec::CACHE_EXCLUSIVE);
  // What is reached by two ways is changed by another.
  for (const char* source : {"/", "/pods/1", "/pods/1/root", "/pods/1/root/etc"}) {
    request.mutable_mounts(1)->set_source(source);
    EXPECT_EQ(chosen(request, 0), MountSpec::CACHE_SHARED) << source;
  }
  request.mutable_mounts(1)->set_source("/pods/1/root2");
  EXPECT_EQ(chosen(request, 0), MountSpec::CACHE_EXCLUSIVE);
  request.mutable_mounts(0)->set_cache(MountSpec::CACHE_SHARED);
  EXPECT_EQ(chosen(request, 0), MountSpec::CACHE_SHARED);
}

TEST(CreateSandbox, RefusedByField) {
  struct Bad {
    std::string message;
    std::function<void(CreateSandboxRequest&)> change;
  };
  const Bad cases[] = {
      {"sandbox id", [](auto& r) { r.set_id("a b"); }},
      {"caller_pid", [](auto& r) { r.set_caller_pid(-1); }},
      {"mounts: at least one", [](auto& r) { r.clear_mounts(); }},
      {"mount 0: cache: not a value",
       [](auto& r) { r.mutable_mounts(0)->set_cache(static_cast<control::v1::MountSpec::Cache>(9)); }},
      {"mounts: more than 64", [](auto& r) { r = Request(65); }},
      {"mount 1: target: missing", [](auto& r) { r.mutable_mounts(1)->clear_target(); }},
      {"mount 1: target: not an absolute path", [](auto& r) { r.mutable_mounts(1)->set_target("data"); }},
      {"mount 0: source: missing", [](auto& r) { r.mutable_mounts(0)->clear_source(); }},
      {"mount 0: source: contains a zero byte",
       [](auto& r) { r.mutable_mounts(0)->set_source(std::string("/a\0b", 4)); }},
      {"mount 0: source: longer than 4095 bytes",
       [](auto& r) { r.mutable_mounts(0)->set_source("/" + std::string(4095, 's')); }},
      {"mount 0: mount_point: not an absolute path", [](auto& r) { r.mutable_mounts(0)->set_mount_point("./x"); }},
      {"mount 1: read_only and create_host_sockets exclude each other",
       [](auto& r) {
         r.mutable_mounts(1)->set_read_only(true);
         r.mutable_mounts(1)->set_create_host_sockets(true);
       }},
      {"mount 1: target /0/: given twice", [](auto& r) { r.mutable_mounts(1)->set_target("/0/"); }},
      {"mount 1: mount_point /mnt/./0: given twice", [](auto& r) { r.mutable_mounts(1)->set_mount_point("/mnt/./0"); }},
  };
  for (const Bad& bad : cases) {
    CreateSandboxRequest request = Request(2);
    bad.change(request);
    absl::Status status = ValidateCreateSandbox(request);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad.message;
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad.message));
  }
}

// Of a client that is there already.
CreateSandboxRequest ClientRequest(int mounts) {
  CreateSandboxRequest request = Request(mounts);
  request.mutable_client()->set_pid(1);
  for (int i = 0; i < mounts; ++i) {
    request.mutable_mounts(i)->clear_mount_point();
    request.mutable_client()->add_connection_fds(i);
  }
  return request;
}

TEST(CreateSandbox, WithAClient) {
  CreateSandboxRequest request = ClientRequest(2);
  request.mutable_mounts(1)->set_donate_mount_point(true);
  EXPECT_TRUE(ValidateCreateSandbox(request).ok());

  struct Bad {
    std::string message;
    std::function<void(CreateSandboxRequest&)> change;
  };
  const Bad cases[] = {
      {"client: connection_fds: not one for each", [](auto& r) { r.mutable_client()->add_connection_fds(7); }},
      {"client: connection_fds: not a descriptor", [](auto& r) { r.mutable_client()->set_connection_fds(1, -1); }},
      {"client: pid", [](auto& r) { r.mutable_client()->clear_pid(); }},
      {"client: lifeline_fd", [](auto& r) { r.mutable_client()->set_lifeline_fd(-1); }},
      {"mount 1: mount_point: not for", [](auto& r) { r.mutable_mounts(1)->set_mount_point("/mnt"); }},
      {"mount 1: donate_mount_point: only for",
       [](auto& r) {
         r = Request(2);
         r.mutable_mounts(1)->set_donate_mount_point(true);
       }},
  };
  for (const Bad& bad : cases) {
    request = ClientRequest(2);
    bad.change(request);
    absl::Status status = ValidateCreateSandbox(request);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad.message;
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad.message));
  }
}

TEST(Interval, Bounds) {
  for (uint32_t good : {0u, 100u, 3'600'000u}) EXPECT_TRUE(ValidateInterval(good).ok()) << good;
  for (uint32_t bad : {1u, 99u, 3'600'001u, UINT32_MAX}) EXPECT_FALSE(ValidateInterval(bad).ok()) << bad;
}

}  // namespace
}  // namespace lisafs
