// Extended attributes.

#include <limits.h>

#include "plugin/operations.h"

namespace lisafs {
namespace {

// Without FUSE_SETXATTR_EXT the kernel sends the first two fields.
struct SetXattrIn {
  uint32_t size;
  uint32_t flags;
};
static_assert(sizeof(SetXattrIn) == FUSE_COMPAT_SETXATTR_IN_SIZE);

}  // namespace

Status Operations::SetXattr(Call& call, const None&, Reply&) {
  LISAFS_ASSIGN_OR_RETURN(auto in, call.arguments.Take<SetXattrIn>());
  LISAFS_ASSIGN_OR_RETURN(std::string_view name, call.arguments.TakeName());
  LISAFS_ASSIGN_OR_RETURN(auto value, call.arguments.TakeBytes(in.size));
  // Linux allows values one byte longer than the protocol has a length for.
  if (value.size() > UINT16_MAX) return Fail(E2BIG);
  LISAFS_ASSIGN_OR_RETURN(Pinned node, nodes_.Pin(call.header.nodeid));
  LISAFS_RETURN_IF_ERROR(client_.Call<Mid::kFSetXattr>(
      {.fd = node.fd(),
       .flags = in.flags,
       .name = name,
       .value = std::string_view(reinterpret_cast<const char*>(value.data()), value.size())}));
  if (name == kDefaultAcl || name == kCapabilities) node.node().XattrWasSet();
  return {};
}

Status Operations::GetXattr(Call& call, const fuse_getxattr_in& in, Reply& reply) {
  LISAFS_ASSIGN_OR_RETURN(std::string_view name, call.arguments.TakeName());
  LISAFS_ASSIGN_OR_RETURN(NodeRef file, nodes_.Find(call.header.nodeid));
  // The kernel asks before it writes to a file or changes its owner.
  const bool of_capabilities = name == kCapabilities && !file->is_directory();
  const uint64_t until = file->lacks_xattr_until();
  if (of_capabilities && until > MonotonicNanoseconds()) return Fail(ENODATA);
  LISAFS_ASSIGN_OR_RETURN(Pinned node, nodes_.Pin(file));
  Status got = client_.Call<Mid::kFGetXattr>(
      {.fd = node.fd(), .size = in.size, .name = name}, [&](const StringResp& response) -> Status {
        // Size 0 asks for the value's size alone.
        if (in.size == 0) {
          reply.Append<fuse_getxattr_out>().size = static_cast<uint32_t>(response.value.size());
          return {};
        }
        if (response.value.size() > in.size) return Fail(ERANGE);
        memcpy(reply.room().data(), response.value.data(), response.value.size());
        reply.Extend(response.value.size());
        return {};
      });
  if (!got && waker_.Introduces(call.header.pid, name)) {
    reply.Append<fuse_getxattr_out>();
    return {};
  }
  if (of_capabilities && !got && got.error() == Errno(ENODATA)) file->LacksXattrFor(kXattrLifetime, until);
  // Of a deleted file, which servers refuse. Where the kernel asks for itself it would take that for a broken
  // attribute, and not run a deleted program.
  if (!got && got.error() == Errno(EINVAL) && !name.starts_with("user.")) return Fail(ENODATA);
  return got;
}

Status Operations::ListXattr(Call& call, const fuse_getxattr_in& in, Reply& reply) {
  LISAFS_ASSIGN_OR_RETURN(Pinned node, nodes_.Pin(call.header.nodeid));
  return client_.Call<Mid::kFListXattr>({.fd = node.fd(), .size = in.size},
                                        [&](const FListXattrResp& response) -> Status {
                                          size_t size = 0;
                                          for (std::string_view name : response.names) {
                                            size += name.size() + 1;
                                            if (size > XATTR_LIST_MAX) return Fail(E2BIG);
                                            if (in.size == 0) continue;
                                            if (size > in.size) return Fail(ERANGE);
                                            memcpy(reply.room().data(), name.data(), name.size());
                                            reply.room()[name.size()] = std::byte{0};
                                            reply.Extend(name.size() + 1);
                                          }
                                          if (in.size == 0)
                                            reply.Append<fuse_getxattr_out>().size = static_cast<uint32_t>(size);
                                          return {};
                                        });
}

Status Operations::RemoveXattr(Call& call, const None&, Reply&) {
  LISAFS_ASSIGN_OR_RETURN(std::string_view name, call.arguments.TakeName());
  LISAFS_ASSIGN_OR_RETURN(Pinned node, nodes_.Pin(call.header.nodeid));
  LISAFS_RETURN_IF_ERROR(client_.Call<Mid::kFRemoveXattr>({.fd = node.fd(), .name = name}));
  return {};
}

}  // namespace lisafs
