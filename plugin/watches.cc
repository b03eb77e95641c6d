#include "plugin/watches.h"

namespace lisafs {

Result<Fd> Watches::Subscribe(Client& client) {
  if (!client.Supports(Mid::kSubscribe) || !client.Supports(Mid::kWatch)) return Fail(EOPNOTSUPP);
  Donations donated;
  LISAFS_RETURN_IF_ERROR(client.Call<Mid::kSubscribe>({}, &donated));
  Fd socket = donated.Take(0);
  if (!socket) return Fail(EPROTO);
  generation_ = 1;
  return socket;
}

bool Watches::Watch(Client& client, const Pinned& node) {
  const uint32_t generation = generation_.load(std::memory_order_acquire);
  if (generation == 0) return false;
  std::atomic<uint32_t>& watch = node.node().watch();
  const uint32_t now = watch.load(std::memory_order_acquire);
  if (now == generation) return true;
  if (now == kUnwatchable) return false;
  auto watched = client.Call<Mid::kWatch>({.fd = node.fd(), .id = node.node().id()});
  watch.store(watched ? generation : kUnwatchable, std::memory_order_release);
  return watched.has_value();
}

}  // namespace lisafs
