#ifndef LISAFS_LISAFS_CLIENT_H_
#define LISAFS_LISAFS_CLIENT_H_

#include <concepts>
#include <cstddef>
#include <memory>
#include <span>
#include <tuple>
#include <type_traits>

#include "base/fd.h"
#include "base/result.h"
#include "lisafs/channel.h"
#include "lisafs/messages.h"
#include "lisafs/socket.h"

namespace lisafs {

// A LISAFS client: one connection, used by any number of threads at once. A request takes a free channel, or the socket
// when all are taken.
//
// Errors are the server's errnos, and these of its own: ECONNRESET from every call, now and later, once the connection
// is broken; EOPNOTSUPP, without anything being sent, for a message that the server did not announce; EIO, likewise,
// for a request that does not fit into a message; EPROTO for a response that the protocol does not allow.
//
// While it lives, a thread of its own watches the socket, so that a server's death ends the calls that wait for it. No
// call may be in progress when the client is destroyed; what CloseLater has queued is then left to the server.
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
  // Whether the server was still there a moment ago: what can be done without it may have to end with it.
  virtual bool connected() const = 0;
  // Channels in use: made, and not broken since.
  virtual size_t channels() const = 0;

  // One request and its response. `decode` gets the response, whose views it must read at most once and must not keep:
  // they may lie in shared memory. It may return a Status. No other call may be made from inside it. Descriptors that
  // come with the response are put in `donated`; pass nullptr where none is wanted.
  template <Mid kMid, std::invocable<typename Message<kMid>::Response&> DecodeFn>
  Status Call(const typename Message<kMid>::Request& request, DecodeFn&& decode, Donations* donated = nullptr) {
    ++calls_of_thread_;
    using RequestBody = typename Message<kMid>::Request;
    const Request type_erased{
        kMid, &request,
        [](Writer& writer, const void* body) { Encode(writer, *static_cast<const RequestBody*>(body)); },
        Message<kMid>::kMaxDonated};
    auto on_response = [&](std::span<const std::byte> payload) -> Status {
      typename Message<kMid>::Response response;
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
    using Response = typename Message<kMid>::Response;
    static_assert(HoldsNoViews<Response>(),
                  "what its views point at is gone when Call returns: pass a decode function");
    Response out;
    LISAFS_RETURN_IF_ERROR(Call<kMid>(
        request, [&](const Response& response) { out = response; }, donated));
    return out;
  }

  // How many calls this thread has made, of any client.
  static uint64_t CallsOfThread() { return calls_of_thread_; }

  // Reads straight into `into`; fewer bytes at end of file. In chunks of what a message holds; a short chunk ends it.
  // An error after some bytes gives those bytes.
  Result<size_t> PRead(Fdid fd, std::span<std::byte> into, uint64_t offset);
  Result<size_t> PWrite(Fdid fd, std::span<const std::byte> from, uint64_t offset);

  // Queues FDIDs to be closed: sent in batches of 100, or at once by FlushClosed. Never fails.
  virtual void CloseLater(Fdid fd) = 0;
  virtual void FlushClosed() = 0;

 protected:
  static inline constinit thread_local uint64_t calls_of_thread_ = 0;

  struct Request {
    Mid mid;
    const void* body;
    void (*encode)(Writer& writer, const void* body);
    size_t max_donated;
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

 private:
  template <typename Body>
  static constexpr bool HoldsNoViews() {
    return []<typename... Field>(std::type_identity<std::tuple<Field...>>) {
      return (WireScalar<std::remove_cvref_t<Field>> && ...);
    }(std::type_identity<decltype(std::declval<const Body&>().Tie())>());
  }
};

}  // namespace lisafs

#endif  // LISAFS_LISAFS_CLIENT_H_
