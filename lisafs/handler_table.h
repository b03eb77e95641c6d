#ifndef LISAFS_LISAFS_HANDLER_TABLE_H_
#define LISAFS_LISAFS_HANDLER_TABLE_H_

#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

#include "base/result.h"
#include "lisafs/channel.h"
#include "lisafs/messages.h"
#include "lisafs/socket.h"

namespace lisafs {

class Connection;

// Where a small response waits until the moment it is handed over: see Channel::Send.
struct SmallResponse {
  std::byte bytes[256];
  size_t size = 0;  // 0: the response, if it has a payload, is in Call::response.
};

// One request on its way through the server.
struct Call {
  // A private copy: the client cannot change it any more. Of PWrite only the part before its data.
  std::span<const std::byte> request;
  // PWrite's data. It may be shared memory: it is read once, by the kernel.
  std::span<const std::byte> data;
  // Where the response's payload goes, at most the connection's largest message. It may be shared memory: it is never
  // read back.
  std::span<std::byte> response;
  SmallResponse& small;
  // Goes with the response if the call succeeds.
  Donations& donations;
  // The lane's, or null on the socket.
  Channel* channel;
};

// Gives the number of payload bytes written to the response. Runs on the lane's thread; several lanes run at once.
using Handler = Result<size_t> (*)(Connection& connection, Call& call);

// What a message is about.
enum class Effect {
  kReads,
  kWrites,  // Changes something: EROFS on a read-only connection before anything else is looked at. (OpenAt depends on
            // its flags, and decides by itself.)
  kNone,    // The connection itself, no file: neither revoked nor limited.
};

// Which messages a server serves, and how. What is not set here is not announced, and answered with EOPNOTSUPP. A table
// belongs to an implementation, which fills it before it serves and which it outlives.
//
// A typed handler gets the decoded request. It is one of
//   Result<Response> F(Connection&, const Request&)
//   Result<Response> F(Connection&, const Request&, Call&)     if it donates
//   Status           F(Connection&, const Request&)            if the response is empty
//   Result<size_t>   F(Connection&, const Request&, Call&)     if it writes the response itself
class HandlerTable {
 public:
  // Serves what is the protocol's own business: Mount, Channel, Close and SleepFlags.
  HandlerTable();

  template <Mid kMid, auto kHandle>
  void Serve(Effect effect = Effect::kReads) {
    Set(kMid, &Adapt<kMid, kHandle>, effect);
  }
  // A handler that decodes and encodes by itself.
  void Set(Mid mid, Handler handler, Effect effect = Effect::kReads);

  struct Entry {
    Handler handler = nullptr;
    Effect effect = Effect::kReads;
  };
  // An entry without a handler for a message that is not served.
  const Entry& Find(uint16_t mid) const;
  // The numbers of the messages served: what Mount announces.
  std::vector<uint16_t> Supported() const;

 private:
  static Result<size_t> Respond(Call&, const Result<size_t>& result) { return result; }
  static Result<size_t> Respond(Call&, const Status& status) {
    if (!status) return Fail(status.error());
    return 0;
  }
  template <WireBody Body>
  static Result<size_t> Respond(Call& call, const Result<Body>& result) {
    if (!result) return Fail(result.error());
    Writer small(call.small.bytes);
    Encode(small, *result);
    if (small.ok() && small.size() <= call.response.size()) return call.small.size = small.size();
    Writer writer(call.response);
    Encode(writer, *result);
    if (!writer.ok()) return Fail(EIO);
    return writer.size();
  }

  template <Mid kMid, auto kHandle>
  static Result<size_t> Adapt(Connection& connection, Call& call) {
    using Request = typename Message<kMid>::Request;
    Request request;
    if (!Decode(call.request, request)) return Fail(EIO);
    if constexpr (std::is_same_v<Request, PWriteReq>) request.data.bytes = call.data;
    if constexpr (std::is_invocable_v<decltype(kHandle), Connection&, const Request&, Call&>) {
      return Respond(call, kHandle(connection, request, call));
    } else {
      return Respond(call, kHandle(connection, request));
    }
  }

  Entry entries_[kMessageCount];
};

}  // namespace lisafs

#endif  // LISAFS_LISAFS_HANDLER_TABLE_H_
