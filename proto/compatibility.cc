#include "proto/compatibility.h"

#include <google/protobuf/descriptor.h>

#include <memory>

namespace lisafs {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::MethodDescriptor;
using google::protobuf::ServiceDescriptor;

class Comparison {
 public:
  explicit Comparison(const DescriptorPool& after) : after_(after) {}

  void CompareFile(const FileDescriptor& before) {
    for (int i = 0; i < before.message_type_count(); ++i) CompareMessage(*before.message_type(i));
    for (int i = 0; i < before.enum_type_count(); ++i) CompareEnum(*before.enum_type(i));
    for (int i = 0; i < before.service_count(); ++i) CompareService(*before.service(i));
  }
  std::vector<std::string> Take() { return std::move(changes_); }

 private:
  void Report(const std::string& what, const std::string& why) { changes_.push_back(what + ": " + why); }
  void Expect(const std::string& what, const std::string& property, const std::string& was, const std::string& is) {
    if (was != is) Report(what, "its " + property + " was " + was + " and is " + is);
  }

  void CompareMessage(const Descriptor& before) {
    const Descriptor* after = after_.FindMessageTypeByName(before.full_name());
    if (after == nullptr) return Report(before.full_name(), "is gone");
    for (int i = 0; i < before.field_count(); ++i) CompareField(*before.field(i), *after);
    for (int i = 0; i < before.nested_type_count(); ++i) CompareMessage(*before.nested_type(i));
    for (int i = 0; i < before.enum_type_count(); ++i) CompareEnum(*before.enum_type(i));
  }

  void CompareField(const FieldDescriptor& before, const Descriptor& message) {
    const FieldDescriptor* after = message.FindFieldByNumber(before.number());
    if (after == nullptr) return Report(before.full_name(), "is gone");
    Expect(before.full_name(), "name", before.name(), after->name());
    Expect(before.full_name(), "type", TypeName(before), TypeName(*after));
    auto oneof = [](const FieldDescriptor& field) {
      return field.real_containing_oneof() == nullptr ? "none" : field.real_containing_oneof()->name();
    };
    Expect(before.full_name(), "oneof", oneof(before), oneof(*after));
    auto presence = [](const FieldDescriptor& field) { return field.has_presence() ? "tracked" : "not tracked"; };
    Expect(before.full_name(), "presence", presence(before), presence(*after));
  }

  static std::string TypeName(const FieldDescriptor& field) {
    std::string name = field.is_repeated() ? "repeated " : "";
    if (field.message_type() != nullptr) return name + field.message_type()->full_name();
    if (field.enum_type() != nullptr) return name + field.enum_type()->full_name();
    return name + field.type_name();
  }

  void CompareEnum(const EnumDescriptor& before) {
    const EnumDescriptor* after = after_.FindEnumTypeByName(before.full_name());
    if (after == nullptr) return Report(before.full_name(), "is gone");
    for (int i = 0; i < before.value_count(); ++i) {
      const auto* value = after->FindValueByNumber(before.value(i)->number());
      if (value == nullptr) {
        Report(before.value(i)->full_name(), "is gone");
      } else {
        Expect(before.value(i)->full_name(), "name", before.value(i)->name(), value->name());
      }
    }
  }

  void CompareService(const ServiceDescriptor& before) {
    const ServiceDescriptor* after = after_.FindServiceByName(before.full_name());
    if (after == nullptr) return Report(before.full_name(), "is gone");
    for (int i = 0; i < before.method_count(); ++i) {
      const MethodDescriptor& was = *before.method(i);
      const MethodDescriptor* is = after->FindMethodByName(was.name());
      if (is == nullptr) {
        Report(was.full_name(), "is gone");
        continue;
      }
      auto side = [](const Descriptor& message, bool streams) {
        return (streams ? "stream " : "") + message.full_name();
      };
      Expect(was.full_name(), "request", side(*was.input_type(), was.client_streaming()),
             side(*is->input_type(), is->client_streaming()));
      Expect(was.full_name(), "response", side(*was.output_type(), was.server_streaming()),
             side(*is->output_type(), is->server_streaming()));
    }
  }

  const DescriptorPool& after_;
  std::vector<std::string> changes_;
};

}  // namespace

std::vector<std::string> BreakingChanges(const google::protobuf::FileDescriptorSet& before,
                                         const google::protobuf::FileDescriptorSet& after) {
  DescriptorPool before_pool, after_pool;
  for (const auto& file : after.file()) {
    if (after_pool.BuildFile(file) == nullptr) return {file.name() + ": cannot be understood"};
  }
  Comparison comparison(after_pool);
  for (const auto& file : before.file()) {
    const FileDescriptor* built = before_pool.BuildFile(file);
    if (built == nullptr) return {file.name() + ": cannot be understood"};
    comparison.CompareFile(*built);
  }
  return comparison.Take();
}

}  // namespace lisafs
