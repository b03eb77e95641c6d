#ifndef LISAFS_LISAFS_CLIENT_H_
#define LISAFS_LISAFS_CLIENT_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"
#include "lisafs/channel.h"
#include "lisafs/messages.h"

namespace lisafs {

// A LISAFS client: one connection, used by any number of threads at once. A request takes a free channel, or the socket
// when all are taken.
//
// Errors are the server's errnos; a broken connection gives ECONNRESET to every call, now and later; a message that the
// server did not announce gives EOPNOTSUPP without being sent; a response that the protocol does not allow gives
// EPROTO.
class Client {
 public:
  struct Options {
    size_t max_channels = 2;  // Channels made on Connect; fewer if the server refuses more. 0: the socket alone.
    SpinPolicy spin;
  };

  // Sends Mount over `socket` and makes the channels.
  static Result<std::unique_ptr<Client>> Connect(Fd socket, const Options& options);
  virtual ~Client() = default;

  virtual const Inode& root() const = 0;
  virtual bool Supports(Mid mid) const = 0;
  virtual uint32_t max_message() const = 0;

  // One request and its response. `encode` writes the request's payload; `decode` gets the response's payload, which it
  // must read at most once and must not keep: it may be shared memory. Not to be called from inside either. At most
  // `donated`'s room of descriptors is collected; pass nullptr where none can come.
  template <Mid kMid, typename DecodeFn>
  Status Call(const typename Message<kMid>::Request& request, DecodeFn&& decode, Donations* donated = nullptr) {
    Request type_erased{kMid, &request, [](Writer& writer, const void* body) {
                          Encode(writer, *static_cast<const typename Message<kMid>::Request*>(body));
                        }};
    using Response = typename Message<kMid>::Response;
    auto on_response = [&](std::span<const std::byte> payload) -> Status {
      Response response;
      if (!Decode(payload, response)) return Fail(EPROTO);
      if constexpr (std::is_void_v<decltype(decode(response))>) {
        decode(response);
        return {};
      } else {
        return decode(response);
      }
    };
    return Exchange(type_erased, OnResponse::Of(on_response), donated);
  }
  // The same for a response whose body holds no views.
  template <Mid kMid>
  Result<typename Message<kMid>::Response> Call(const typename Message<kMid>::Request& request,
                                                Donations* donated = nullptr) {
    typename Message<kMid>::Response out;
    LISAFS_RETURN_IF_ERROR(Call<kMid>(
        request, [&](const auto& response) { out = response; }, donated));
    return out;
  }

  // Reads straight into `into`; 0 at end of file. In chunks of what a message holds; a short chunk ends it.
  Result<size_t> PRead(Fdid fd, std::span<std::byte> into, uint64_t offset);
  Result<size_t> PWrite(Fdid fd, std::span<const std::byte> from, uint64_t offset);

  // Queues FDIDs to be closed: sent in batches of 100, or at once by FlushClosed. Never fails.
  virtual void CloseLater(Fdid fd) = 0;
  virtual void FlushClosed() = 0;

 protected:
  struct Request {
    Mid mid;
    const void* body;
    void (*encode)(Writer& writer, const void* body);
  };
  // A reference to a callable, so that nothing is allocated per request.
  struct OnResponse {
    void* callable;
    Status (*call)(void* callable, std::span<const std::byte> payload);
    template <typename F>
    static OnResponse Of(F& f) {
      return {&f,
              [](void* callable, std::span<const std::byte> payload) { return (*static_cast<F*>(callable))(payload); }};
    }
  };
  virtual Status Exchange(const Request& request, OnResponse on_response, Donations* donated) = 0;
};

}  // namespace lisafs

#endif  // LISAFS_LISAFS_CLIENT_H_
