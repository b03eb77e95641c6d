#ifndef LISAFS_TESTS_CONFORMANCE_SUITE_H_
#define LISAFS_TESTS_CONFORMANCE_SUITE_H_

#include <fcntl.h>
#include <stdlib.h>

#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "tests/conformance/lane.h"

// What a LISAFS server has to do, as cases made of rows. A row is one question to the server with the outcome that the
// protocol wants, both as text: "EBADF", "ok", or what a response says. Where servers may differ, the wanted outcome
// lists what is allowed: "EPERM|ok". A server that is known to be wrong is held to what it does instead: see
// Expectations.

namespace lisafs::conformance {

// How the server was told to serve the directory.
struct Serving {
  bool read_only = false;
  bool sockets = false;  // Clients may connect to sockets there and bind them.
  bool fifos = false;    // Clients may open FIFOs.
};

// A file of lines `CASE / ROW => OUTCOME`, and comments after '#' that say why: rows in which one server is known to
// differ, with what it does instead.
class Expectations {
 public:
  // Adds a line for each thing wrong with the text to `errors`.
  static Expectations Parse(std::string_view text, std::vector<std::string>& errors);

  // What `row` of `test_case` should be for a server that is right in every row but those of the file.
  std::string Wanted(const std::string& test_case, const std::string& row, const std::string& wanted) const;
  std::vector<std::string> RowsOf(const std::string& test_case) const;

 private:
  std::map<std::pair<std::string, std::string>, std::string> outcomes_;
};

// A connection's client side.
class Peer {
 public:
  explicit Peer(Fd socket) : socket_(std::move(socket)) {}

  RawSocket& socket() { return socket_; }
  // Asks for a channel over `lane` and maps it, but for the handshake. Null if the server refuses, which `answer` (may
  // be null) says.
  std::unique_ptr<RawChannel> MakeChannel(Lane& lane, Answer* answer = nullptr);

  // Mount over `lane`, and what it said.
  Answer Mount(Lane& lane);
  const Inode& root() const { return root_; }
  uint32_t max_message() const { return max_message_; }
  const std::vector<uint16_t>& supported() const { return supported_; }
  bool Supports(uint16_t mid) const;
  bool Supports(Mid mid) const { return Supports(static_cast<uint16_t>(mid)); }

 private:
  RawSocket socket_;
  Inode root_;
  uint32_t max_message_ = 0;
  std::vector<uint16_t> supported_;
};

template <typename Body>
Bytes Encoded(const Body& body) {
  for (size_t room : {size_t{4096}, size_t{4} << 20}) {
    Bytes buffer(room);
    Writer writer(buffer);
    Encode(writer, body);
    buffer.resize(writer.size());
    if (writer.ok()) return buffer;
  }
  abort();  // No message is that long.
}
inline Bytes Joined(Bytes a, std::string_view b) {
  auto bytes = std::as_bytes(std::span(b));
  a.insert(a.end(), bytes.begin(), bytes.end());
  return a;
}

// "a", 1 → "a 1".
template <typename... Part>
std::string Text(const Part&... part) {
  std::ostringstream text;
  const char* separator = "";
  ((text << separator << part, separator = " "), ...);
  return text.str();
}

// An answer and, where it was a success, its body. Views in the body point into the answer.
template <Mid kMid>
struct Reply {
  Answer answer;
  typename Message<kMid>::Response body;
  bool ok() const { return answer.ok(); }
  std::string ToString() const { return answer.ToString(); }
};
template <Mid kMid>
std::ostream& operator<<(std::ostream& stream, const Reply<kMid>& reply) {
  return stream << reply.ToString();
}

struct Failure {
  std::string row;
  std::string wanted;
  std::string got;
};

// One case at work, on one lane of a mounted connection.
class Test {
 public:
  Test(std::string name, const Serving& serving, const Expectations& expectations, Peer& peer, Lane& lane)
      : name_(std::move(name)), serving_(serving), expectations_(expectations), peer_(peer), lane_(lane) {}

  // Compares. Each row of a case has its own name.
  void Row(const std::string& row, const std::string& wanted, const std::string& got);
  template <typename Outcome>
  void Row(const std::string& row, const std::string& wanted, const Outcome& got) {
    Row(row, wanted, Text(got));
  }
  // What a case needs to go on. What does not hold is a failure, unless the server is known for it: "not to be had".
  bool Need(const std::string& what, bool holds);

  const Serving& serving() const { return serving_; }
  Peer& peer() { return peer_; }
  Lane& lane() { return lane_; }
  bool on_channel() const { return dynamic_cast<RawChannel*>(&lane_) != nullptr; }

  // A directory of the case's own, as the host sees it and as a control FD of the connection.
  std::string Host(std::string_view name = "") const { return host_ + (name.empty() ? "" : "/" + std::string(name)); }
  Fdid dir() const { return dir_; }
  void EnterDirectory(const std::string& served, const std::string& name);

  Answer Exchange(Mid mid, std::span<const std::byte> payload) {
    return lane_.Exchange(static_cast<uint16_t>(mid), payload);
  }
  template <Mid kMid>
  Reply<kMid> Call(const typename Message<kMid>::Request& request) {
    Reply<kMid> reply{Exchange(kMid, Encoded(request)), {}};
    if (reply.ok() && !Decode(reply.answer.payload, reply.body)) reply.answer.end = Answer::End::kBroken;
    return reply;
  }

  // Shorter ways to the commonest requests.
  using Names = std::initializer_list<std::string_view>;
  Reply<Mid::kWalk> Walk(Fdid fd, Names names);
  Reply<Mid::kWalkStat> WalkStat(Fdid fd, Names names);
  Reply<Mid::kOpenAt> Open(Fdid fd, uint32_t flags) { return Call<Mid::kOpenAt>({.fd = fd, .flags = flags}); }
  Reply<Mid::kOpenCreateAt> Create(Fdid dir, std::string_view name, uint32_t flags = O_RDWR, uint16_t mode = 0644);
  Reply<Mid::kMkdirAt> Mkdir(Fdid dir, std::string_view name, uint16_t mode = 0755);
  Answer Unlink(Fdid dir, std::string_view name, uint32_t flags = 0);
  Reply<Mid::kFStat> Stat(Fdid fd) { return Call<Mid::kFStat>({fd}); }
  Reply<Mid::kPRead> PRead(Fdid fd, uint64_t offset, uint32_t count) {
    return Call<Mid::kPRead>({.offset = offset, .fd = fd, .count = count});
  }
  Answer PWrite(Fdid fd, uint64_t offset, uint32_t count, std::string_view data);
  Answer Close(std::initializer_list<Fdid> fds);
  // A control FD of a name in dir() that the host has; 0, and a failure, if it cannot be had.
  Fdid Find(std::string_view name);
  // The same of an open FD.
  Fdid OpenFile(std::string_view name, uint32_t flags);

  // The host's side of things; false and a failure where it refuses.
  bool MakeFile(std::string_view name, std::string_view content = "");
  bool MakeDirectory(std::string_view name);
  bool MakeSymlink(std::string_view name, const std::string& target);
  bool MakeNode(std::string_view name, mode_t mode, dev_t device = 0);
  std::string Content(std::string_view name) const;

  std::vector<Failure>& failures() { return failures_; }
  const std::set<std::string>& rows() const { return rows_; }

 private:
  const std::string name_;
  const Serving serving_;
  const Expectations& expectations_;
  Peer& peer_;
  Lane& lane_;
  std::string host_;
  Fdid dir_ = kInvalidFdid;
  std::set<std::string> rows_;
  std::vector<Failure> failures_;
};

std::string TypeName(uint16_t mode);  // "dir", "file", "link", "fifo", "socket", "char", "block".
std::string Octal(uint16_t mode);     // Its permissions: "755".

struct Case {
  using Function = void (*)(Test&);
  enum class On { kAny, kWritable, kReadOnly, kSockets, kFifos };
  enum class Over { kBoth, kSocket, kChannel };

  std::string name;  // "Walk.Names"
  Function run;
  On on = On::kAny;
  Over over = Over::kBoth;
  bool before_mount = false;  // The connection is not mounted yet, and there is no directory of the case's own.
  bool own_connection = false;
  Mid needs = Mid::kMount;  // It is left out on servers that do not announce this.

  bool RunsOn(const Serving& serving) const;
};

// All of them: the ones before Mount first, the ones that end the connection last.
const std::vector<Case>& AllCases();

// What a connection needs before a case: Mount and, for cases over a channel, a channel. Empty `error` if all is well.
class Session {
 public:
  Session(Fd socket, std::string directory, const Serving& serving, const Expectations& expectations)
      : peer_(std::move(socket)), directory_(std::move(directory)), serving_(serving), expectations_(expectations) {}

  // Runs one case over the socket or over a channel, and gives what failed; nothing if the server does not announce
  // what the case needs.
  std::optional<std::vector<Failure>> Run(const Case& test_case, bool over_channel);
  Peer& peer() { return peer_; }

 private:
  Peer peer_;
  std::unique_ptr<RawChannel> channel_;
  bool mounted_ = false;
  const std::string directory_;
  const Serving serving_;
  const Expectations& expectations_;
};

// Each file of cases adds its own.
void AddConnectionCases(std::vector<Case>& cases);
void AddEncodingCases(std::vector<Case>& cases);
void AddWalkCases(std::vector<Case>& cases);
void AddOpenCases(std::vector<Case>& cases);
void AddDataCases(std::vector<Case>& cases);
void AddAttributeCases(std::vector<Case>& cases);
void AddCreateCases(std::vector<Case>& cases);
void AddNameCases(std::vector<Case>& cases);
void AddDirectoryCases(std::vector<Case>& cases);
void AddXattrCases(std::vector<Case>& cases);
void AddSocketFileCases(std::vector<Case>& cases);
void AddReadOnlyCases(std::vector<Case>& cases);
void AddChannelCases(std::vector<Case>& cases);
void AddDeletedCases(std::vector<Case>& cases);
void AddExtensionCases(std::vector<Case>& cases);

}  // namespace lisafs::conformance

#endif  // LISAFS_TESTS_CONFORMANCE_SUITE_H_
