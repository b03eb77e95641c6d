// A server that answers each request of benchmarks/go/gofer at once and does nothing for it: the bound of what a gofer
// can make of its client. It has lisafs-gofer's transport, and nothing else of it.
//
//   usage: null-gofer SOCKET

#include <sys/stat.h>

#include <charconv>
#include <cstring>
#include <memory>
#include <string_view>

#include "base/program.h"
#include "lisafs/connection.h"
#include "lisafs/server.h"

namespace lisafs {
namespace {

constexpr Fdid kFile = 2, kOpen = 3;
constexpr Statx kStat = {.mask = 0x7ff, .nlink = 1, .mode = S_IFREG | 0600};

class NullMount final : public MountPoint {
 public:
  using MountPoint::MountPoint;
  Result<Root> OpenRoot(FdBudget::Share share) override {
    struct Directory final : ControlFd {
      Directory(FdBudget::Share share, NodeRef node) : ControlFd(std::move(share), std::move(node), S_IFDIR) {}
    };
    Statx stat = kStat;
    stat.mode = S_IFDIR | 0700;
    return Root{std::make_shared<Directory>(std::move(share), root()), stat};
  }
};

Result<StatResp> FStat(Connection&, const FdReq&) { return StatResp{kStat}; }
Result<size_t> Walk(Connection&, const WalkReq&, Call& call) {
  const Inode found = {kFile, kStat};
  Writer writer(call.response);
  Encode(writer, WalkResp{WalkStatus::kSuccess, PackedArray<Inode>(std::span(&found, 1))});
  return writer.size();
}
Result<OpenAtResp> OpenAt(Connection&, const OpenAtReq&) { return OpenAtResp{kOpen}; }
Result<OpenCreateAtResp> OpenCreateAt(Connection&, const OpenCreateAtReq&) {
  return OpenCreateAtResp{{kFile, kStat}, kOpen};
}
Status UnlinkAt(Connection&, const UnlinkAtReq&) { return {}; }
Status RenameAt(Connection&, const RenameAtReq&) { return {}; }
// Its data is what the window has.
Result<size_t> PRead(Connection&, const PReadReq& request, Call& call) {
  Writer writer(call.response);
  writer.Write(uint64_t{request.count});
  return writer.size() + request.count;
}
Result<PWriteResp> PWrite(Connection&, const PWriteReq& request) { return PWriteResp{request.count}; }

int Main(int argc, char** argv) {
  int socket = -1;
  const std::string_view text = argc == 2 ? argv[1] : "";
  if (std::from_chars(text.data(), text.data() + text.size(), socket).ec != std::errc()) Die("usage", "SOCKET");
  Server server;
  server.handlers.Serve<Mid::kFStat, FStat>();
  server.handlers.Serve<Mid::kWalk, Walk>();
  server.handlers.Serve<Mid::kOpenAt, OpenAt>();
  server.handlers.Serve<Mid::kOpenCreateAt, OpenCreateAt>();
  server.handlers.Serve<Mid::kUnlinkAt, UnlinkAt>();
  server.handlers.Serve<Mid::kRenameAt, RenameAt>();
  server.handlers.Serve<Mid::kPRead, PRead>();
  server.handlers.Serve<Mid::kPWrite, PWrite>();
  NullMount mount(server);
  Connection(server, mount, Fd(socket), {}).Serve();
  return kExitSuccess;
}

}  // namespace
}  // namespace lisafs

int main(int argc, char** argv) {
  lisafs::SetProgramName("null-gofer");
  return lisafs::Main(argc, argv);
}
