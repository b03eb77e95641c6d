#ifndef LISAFS_TESTS_HOSTILE_SERVED_H_
#define LISAFS_TESTS_HOSTILE_SERVED_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/conformance/suite.h"
#include "tests/support/files.h"
#include "tests/support/process.h"

namespace lisafs::conformance {

template <Mid kMid>
Answer Ask(Lane& lane, const typename Message<kMid>::Request& request) {
  return lane.Exchange(static_cast<uint16_t>(kMid), Encoded(request));
}

// The real gofer, with a client for each of the mounts that it serves. A failure to start it fails the running test.
class Served {
 public:
  struct Mount {
    std::string directory;
    std::string options = "";  // ":ro" and so on.
  };
  // With `before` in front of the command line.
  explicit Served(const std::vector<Mount>& mounts, const std::vector<std::string>& before = {});
  // The clients hang up, and the gofer ends well.
  ~Served();
  Served(const Served&) = delete;
  Served& operator=(const Served&) = delete;

  Peer& client(size_t mount = 0) { return *clients_[mount]; }
  RawSocket& socket(size_t mount = 0) { return client(mount).socket(); }
  Fdid root(size_t mount = 0) { return client(mount).root().control_fd; }
  void HangUp(size_t mount) { clients_[mount].reset(); }
  // Ends it by SIGKILL; whether it is gone within seconds.
  bool Kill();

  // Of the process that serves.
  pid_t pid() const { return pid_; }
  size_t Fds() const;
  int Threads() const;
  size_t MemoryKilobytes() const;

  // A channel, its hands shaken; null if there can be no more.
  std::unique_ptr<RawChannel> MakeChannel(size_t mount = 0);
  // kInvalidFdid if it cannot be had.
  static Fdid Walk(Lane& lane, Fdid directory, std::string_view name);
  Fdid Find(std::string_view name, size_t mount = 0) { return Walk(socket(mount), root(mount), name); }

 private:
  std::unique_ptr<tests::Process> gofer_;
  std::vector<std::unique_ptr<Peer>> clients_;
  pid_t pid_ = 0;
  bool killed_ = false;
};

}  // namespace lisafs::conformance

#endif  // LISAFS_TESTS_HOSTILE_SERVED_H_
