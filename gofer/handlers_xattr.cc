#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#include <algorithm>
#include <string>
#include <vector>

#include "gofer/file.h"
#include "gofer/handlers.h"

namespace lisafs {
namespace {

// Values and lists of names: the kernel's limit. A value of exactly that size does not fit the wire's length field.
constexpr size_t kMaxSize = 65536;

// What containers may see and set. trusted.* is the host's own, and the rest of system.* stands for other things.
bool IsServed(std::string_view name) {
  return name.starts_with("user.") || name.starts_with("security.") || name == "system.posix_acl_access" ||
         name == "system.posix_acl_default";
}

// A file whose attributes are asked for, and the path that leads to it: the file itself, even if it is a link.
struct Target {
  std::shared_ptr<HostControl> file;
  FdName path;
};

Result<Target> FindFile(Connection& connection, Fdid fd) {
  LISAFS_ASSIGN_OR_RETURN(auto file, connection.fds().Get<HostControl>(fd));
  if (file->node().deleted()) return Fail(EINVAL);
  FdName path(file->fd());
  return Target{std::move(file), path};
}

Result<std::string> CheckName(std::string_view name) {
  if (name.find('\0') != name.npos) return Fail(EINVAL);
  if (!IsServed(name)) return Fail(EOPNOTSUPP);
  return std::string(name);
}

// Straight into the response: only the length is looked at.
Result<size_t> FGetXattr(Connection& connection, const FGetXattrReq& request, Call& call) {
  LISAFS_ASSIGN_OR_RETURN(Target target, FindFile(connection, request.fd));
  LISAFS_ASSIGN_OR_RETURN(std::string name, CheckName(request.name));
  size_t limit = request.size == 0 ? UINT16_MAX : std::min<size_t>(request.size, UINT16_MAX);
  Writer writer(call.response);
  std::span<std::byte> length = writer.Reserve(sizeof(uint16_t));
  std::span<std::byte> value = writer.Reserve(std::min(limit, call.response.size() - writer.size()));
  ssize_t n = getxattr(target.path.c_str(), name.c_str(), value.data(), value.size());
  if (n < 0) return FailWithErrno();
  Writer(length).Write(static_cast<uint16_t>(n));
  return length.size() + static_cast<size_t>(n);
}

Status FSetXattr(Connection& connection, const FSetXattrReq& request) {
  LISAFS_ASSIGN_OR_RETURN(Target target, FindFile(connection, request.fd));
  LISAFS_ASSIGN_OR_RETURN(std::string name, CheckName(request.name));
  if (setxattr(target.path.c_str(), name.c_str(), request.value.data(), request.value.size(),
               static_cast<int>(request.flags)) != 0) {
    return FailWithErrno();
  }
  return {};
}

Result<size_t> FListXattr(Connection& connection, const FListXattrReq& request, Call& call) {
  LISAFS_ASSIGN_OR_RETURN(Target target, FindFile(connection, request.fd));
  size_t limit = request.size == 0 ? kMaxSize : std::min<uint64_t>(request.size, kMaxSize);
  std::vector<char> list(limit);
  ssize_t n = listxattr(target.path.c_str(), list.data(), list.size());
  if (n < 0) return FailWithErrno();
  std::vector<std::string_view> names;
  for (const char* at = list.data(); at < list.data() + n; at += names.back().size() + 1) names.emplace_back(at);
  std::erase_if(names, [](std::string_view name) { return !IsServed(name); });
  Writer writer(call.response);
  Encode(writer, FListXattrResp{StringArray(names)});
  if (!writer.ok()) return Fail(EIO);
  return writer.size();
}

Status FRemoveXattr(Connection& connection, const FRemoveXattrReq& request) {
  LISAFS_ASSIGN_OR_RETURN(Target target, FindFile(connection, request.fd));
  LISAFS_ASSIGN_OR_RETURN(std::string name, CheckName(request.name));
  if (removexattr(target.path.c_str(), name.c_str()) != 0) return FailWithErrno();
  return {};
}

}  // namespace

void ServeXattrs(HandlerTable& table) {
  table.Serve<Mid::kFGetXattr, FGetXattr>();
  table.Serve<Mid::kFSetXattr, FSetXattr>(Effect::kWrites);
  table.Serve<Mid::kFListXattr, FListXattr>();
  table.Serve<Mid::kFRemoveXattr, FRemoveXattr>(Effect::kWrites);
}

}  // namespace lisafs
