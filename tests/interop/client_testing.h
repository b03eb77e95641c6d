#ifndef LISAFS_TESTS_INTEROP_CLIENT_TESTING_H_
#define LISAFS_TESTS_INTEROP_CLIENT_TESTING_H_

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "lisafs/client.h"
#include "tests/support/files.h"
#include "tests/support/process.h"

// The project's client against every server there is: its own gofer, and gVisor's in each vintage. What fails on all is
// wrong in the test, what fails on one alone is a difference between them.

namespace lisafs::tests {

enum class ServerKind { kGofer, kGvisorNewest, kGvisorDecember2022 };

struct Serving {
  bool read_only = false;
  bool sockets = false;  // Clients may connect to the host's sockets, and bind some.
};

// A file that a client has created, or opened.
struct OpenFile {
  Fdid control = kInvalidFdid;
  Fdid open = kInvalidFdid;
  Fd donated;
};

class ClientTest : public testing::TestWithParam<std::tuple<ServerKind, size_t>> {
 protected:
  ServerKind kind() const { return std::get<0>(GetParam()); }
  // How many the client asks for.
  size_t channels() const { return std::get<1>(GetParam()); }
  bool is_gvisor() const { return kind() != ServerKind::kGofer; }
  bool is_december2022() const { return kind() == ServerKind::kGvisorDecember2022; }

  // Skips the test where there is no such server.
  void SetUp() override { Start({}); }
  // Ends the client, and expects the server to end by itself, and well.
  void TearDown() override { Stop(); }

  // Starts a server on directory(), and a client of it, which is client().
  void Start(const Serving& serving);
  void Stop();
  // The server has ended, and has been waited for.
  void Forget() { server_.reset(); }

  Client& client() { return *client_; }
  Process& server() { return *server_; }
  Fdid root() { return client_->root().control_fd; }
  const TempDir& directory() const { return directory_; }

  // To be called by any thread.
  Result<OpenFile> Create(Fdid parent, std::string_view name);
  Result<OpenFile> Open(Fdid control, uint32_t flags);
  Result<Inode> MakeDirectory(Fdid parent, std::string_view name);
  // All inodes on the way, which end where the server's walk did.
  Result<std::vector<Inode>> Walk(Fdid from, const std::vector<std::string_view>& names);
  Result<Statx> Stat(Fdid fd);
  // Writes and reads a file of its own in `parent`, and renames and unlinks it.
  void ExerciseFile(Fdid parent, const std::string& name, size_t size);

 private:
  TempDir directory_;
  std::optional<Process> server_;
  std::unique_ptr<Client> client_;
};

// The same bytes for the same seed.
std::vector<std::byte> SomeBytes(size_t count, uint32_t seed);

// "ENOENT", or "ok".
template <typename T>
std::string Outcome(const Result<T>& result) {
  if (result) return "ok";
  std::string text = result.error().ToString();
  return text.substr(0, text.find(':'));
}

}  // namespace lisafs::tests

#endif  // LISAFS_TESTS_INTEROP_CLIENT_TESTING_H_
