#include "lisafs/message_table.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string_view>
#include <tuple>
#include <type_traits>

#include "lisafs/messages.h"

namespace lisafs {
namespace {

// What the documentation calls a field's type, and how many bytes it takes; none if that depends on what is in it.
struct Type {
  std::string_view name;
  std::optional<size_t> size;
};

template <typename T>
constexpr Type kType = {};
template <>
constexpr Type kType<uint8_t> = {"u8", 1};
template <>
constexpr Type kType<WalkStatus> = {"u8", 1};
template <>
constexpr Type kType<uint16_t> = {"u16", 2};
template <>
constexpr Type kType<uint32_t> = {"u32", 4};
template <>
constexpr Type kType<int32_t> = {"i32", 4};
template <>
constexpr Type kType<uint64_t> = {"u64", 8};
template <>
constexpr Type kType<int64_t> = {"i64", 8};
template <>
constexpr Type kType<Timespec> = {"Timespec", sizeof(Timespec)};
template <>
constexpr Type kType<CreateCommon> = {"CreateCommon", sizeof(CreateCommon)};
template <>
constexpr Type kType<Statx> = {"Statx", sizeof(Statx)};
template <>
constexpr Type kType<Inode> = {"Inode", sizeof(Inode)};
template <>
constexpr Type kType<Pad<4>> = {"4 zero bytes", 4};
template <>
constexpr Type kType<std::string_view> = {"string", std::nullopt};
template <>
constexpr Type kType<StringArray> = {"array of string", std::nullopt};
template <>
constexpr Type kType<PackedArray<uint64_t>> = {"array of u64", std::nullopt};
template <>
constexpr Type kType<PackedArray<uint16_t>> = {"array of u16", std::nullopt};
template <>
constexpr Type kType<PackedArray<Inode>> = {"array of Inode", std::nullopt};
template <>
constexpr Type kType<PackedArray<Statx>> = {"array of Statx", std::nullopt};
template <>
constexpr Type kType<Rest> = {"bytes", std::nullopt};

// "@0 u64 `fd`, @8 string `name`": the offset is left out behind a field of no fixed size.
class FieldList {
 public:
  explicit FieldList(std::string_view names) : names_(names) {}

  void Add(const Type& type, bool is_padding) {
    std::string_view name = names_.substr(0, names_.find(", "));
    names_.remove_prefix(std::min(names_.size(), name.size() + 2));
    if (!text_.empty()) text_ += ", ";
    if (offset_) text_ += "@" + std::to_string(*offset_) + " ";
    text_ += type.name;
    if (!is_padding) text_ += " `" + std::string(name) + "`";
    offset_ = offset_ && type.size ? std::optional(*offset_ + *type.size) : std::nullopt;
  }
  std::string text() const { return text_.empty() ? "–" : text_; }

 private:
  std::string_view names_;
  std::string text_;
  std::optional<size_t> offset_ = 0;
};

template <typename Field>
constexpr bool kIsPadding = false;
template <size_t N>
constexpr bool kIsPadding<Pad<N>> = true;

template <typename Body>
std::string Fields() {
  FieldList list(Body::kFieldNames);
  const Body body;
  std::apply(
      [&]<typename... Field>(const Field&...) {
        static_assert(!(kType<Field>.name.empty() || ...), "a field's type needs a name");
        (list.Add(kType<Field>, kIsPadding<Field>), ...);
      },
      body.Tie());
  return list.text();
}

std::string Row(int number, std::string_view name, const std::string& request, const std::string& response,
                int descriptors, std::string_view purpose) {
  return "| " + std::to_string(number) + " | " + std::string(name) + " | " + request + " | " + response + " | " +
         (descriptors == 0 ? "" : std::to_string(descriptors)) + " | " + std::string(purpose) + " |\n";
}

}  // namespace

std::string MessageTable() {
  std::string table = "| | name | request | response | fds | purpose |\n|--:|---|---|---|--:|---|\n";
#define X(number, name, request, response, fds, purpose) \
  table += Row(number, #name, Fields<request>(), Fields<response>(), fds, purpose);
  LISAFS_MESSAGES(X)
#undef X
  return table;
}

}  // namespace lisafs
