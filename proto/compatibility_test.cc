#include "proto/compatibility.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>

namespace lisafs {
namespace {

using google::protobuf::FileDescriptorProto;
using google::protobuf::FileDescriptorSet;
using testing::ElementsAre;
using testing::IsEmpty;

FileDescriptorSet Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  FileDescriptorSet set;
  EXPECT_TRUE(set.ParseFromIstream(&file)) << path;
  EXPECT_GT(set.file_size(), 0) << path;
  return set;
}

// The definition that clients may rely on is committed; the one that is built may only add to it.
TEST(CompatibilityTest, TheControlPlaneKeepsItsPromises) {
  EXPECT_THAT(BreakingChanges(Read("proto/lisafs/control/v1/control.committed.binpb"), Read("proto/control.binpb")),
              IsEmpty())
      << "docs/development.md says what to do";
}

class ChangeTest : public testing::Test {
 protected:
  ChangeTest() {
    const char* definition = R"(
      name: "a.proto" package: "a" syntax: "proto3"
      message_type { name: "Request" field { name: "id" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL } }
      message_type {
        name: "Response"
        field { name: "count" number: 1 type: TYPE_UINT64 label: LABEL_OPTIONAL }
        field { name: "kind" number: 2 type: TYPE_ENUM type_name: ".a.Response.Kind" label: LABEL_REPEATED }
        enum_type { name: "Kind" value { name: "KIND_NONE" number: 0 } value { name: "KIND_ONE" number: 1 } }
      }
      service {
        name: "S"
        method { name: "Get" input_type: ".a.Request" output_type: ".a.Response" }
      })";
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(definition, before_.add_file()));
  }

  std::vector<std::string> After(const std::function<void(FileDescriptorProto&)>& change) {
    FileDescriptorSet after = before_;
    change(*after.mutable_file(0));
    return BreakingChanges(before_, after);
  }

  FileDescriptorSet before_;
};

TEST_F(ChangeTest, WhatIsAddedBreaksNothing) {
  EXPECT_THAT(After([](auto& file) {
                auto* field = file.mutable_message_type(0)->add_field();
                field->set_name("more");
                field->set_number(2);
                field->set_type(google::protobuf::FieldDescriptorProto::TYPE_BOOL);
                field->set_label(google::protobuf::FieldDescriptorProto::LABEL_OPTIONAL);
                file.add_message_type()->set_name("Another");
                auto* method = file.mutable_service(0)->add_method();
                method->set_name("Put");
                method->set_input_type(".a.Another");
                method->set_output_type(".a.Another");
              }),
              IsEmpty());
}

TEST_F(ChangeTest, WhatClientsWouldMissIsNamed) {
  EXPECT_THAT(After([](auto& file) { file.mutable_message_type(0)->clear_field(); }),
              ElementsAre("a.Request.id: is gone"));
  EXPECT_THAT(After([](auto& file) { file.mutable_message_type(0)->mutable_field(0)->set_name("name"); }),
              ElementsAre("a.Request.id: its name was id and is name"));
  EXPECT_THAT(After([](auto& file) { file.mutable_message_type(0)->mutable_field(0)->set_number(3); }),
              ElementsAre("a.Request.id: is gone"));
  EXPECT_THAT(
      After([](auto& file) {
        file.mutable_message_type(0)->mutable_field(0)->set_type(google::protobuf::FieldDescriptorProto::TYPE_BYTES);
      }),
      ElementsAre("a.Request.id: its type was string and is bytes"));
  EXPECT_THAT(After([](auto& file) {
                file.mutable_message_type(1)->mutable_field(0)->set_label(
                    google::protobuf::FieldDescriptorProto::LABEL_REPEATED);
              }),
              ElementsAre("a.Response.count: its type was uint64 and is repeated uint64"));
  EXPECT_THAT(
      After([](auto& file) { file.mutable_message_type(1)->mutable_enum_type(0)->mutable_value()->RemoveLast(); }),
      ElementsAre("a.Response.KIND_ONE: is gone"));
  EXPECT_THAT(After([](auto& file) { file.mutable_service(0)->clear_method(); }), ElementsAre("a.S.Get: is gone"));
  EXPECT_THAT(After([](auto& file) { file.mutable_service(0)->mutable_method(0)->set_server_streaming(true); }),
              ElementsAre("a.S.Get: its response was a.Response and is stream a.Response"));
  EXPECT_THAT(After([](auto& file) { file.clear_service(); }), ElementsAre("a.S: is gone"));
  EXPECT_THAT(After([](auto& file) { file.set_package("b"); }), ElementsAre("a.proto: cannot be understood"));
}

}  // namespace
}  // namespace lisafs
