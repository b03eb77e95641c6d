#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <thread>

#include "tests/conformance/suite.h"

// Mount, Close, and how requests travel on the socket.

namespace lisafs::conformance {
namespace {

constexpr uint16_t kFStat = static_cast<uint16_t>(Mid::kFStat);

void BeforeMount(Test& t) {
  RawSocket& socket = t.peer().socket();
  t.Row("FStat", "EBADF", socket.Exchange(kFStat, Encoded(FdReq{1})));
  t.Row("Walk", "EBADF", socket.Exchange(static_cast<uint16_t>(Mid::kWalk), Encoded(WalkReq{.dir_fd = 1})));
  auto channel = t.peer().MakeChannel(socket);
  if (!t.Need("a channel", channel != nullptr && channel->Handshake() == Answer::End::kAnswered)) return;
  t.Row("FStat over a channel", "EBADF", channel->Exchange(kFStat, Encoded(FdReq{1})));
  t.Row("Mount over a channel", "ok", t.peer().Mount(*channel));
  t.Row("FStat of the root", "ok", socket.Exchange(kFStat, Encoded(FdReq{t.peer().root().control_fd})));
}

void Mount(Test& t) {
  const Inode first = t.peer().root();
  t.Row("the root", "dir", TypeName(first.stat.mode));
  t.Row("its FDID is not 0", "1", first.control_fd != 0);
  t.Row("at least STATX_TYPE is valid", "1", first.stat.mask & STATX_TYPE);
  auto announced = t.peer().supported();
  t.Row("Mount, Channel and Walk are announced", "1",
        t.peer().Supports(Mid::kMount) && t.peer().Supports(Mid::kChannel) && t.peer().Supports(Mid::kWalk));
  t.Row("Error is not", "0", t.peer().Supports(Mid::kError));
  std::ranges::sort(announced);
  t.Row("each once", "1", std::ranges::adjacent_find(announced) == announced.end());
  t.Row("a limit that a request fits in", "1", t.peer().max_message() >= 4096);

  Answer again = t.peer().Mount(t.lane());
  t.Row("mounting again", "ok", again);
  t.Row("nothing is donated", "0", again.donated.size());
  t.Row("gives another FDID", "1", t.peer().root().control_fd != first.control_fd);
  t.Row("for the same directory", "1", t.peer().root().stat.ino == first.stat.ino);
  t.Row("closing one", "ok", t.Close({t.peer().root().control_fd}));
  t.Row("it is closed", "EBADF", t.Stat(t.peer().root().control_fd));
  t.Row("the other is not", "ok", t.Stat(first.control_fd));
  t.peer().Mount(t.lane());
}

void Close(Test& t) {
  if (!t.MakeFile("f")) return;
  Fdid file = t.Find("f"), other = t.Find("f"), open = t.OpenFile("f", O_RDONLY);
  t.Row("nothing", "ok", t.Close({}));
  t.Row("unknown ones, 0, and one twice", "ok", t.Close({9999, 0, file, file}));
  t.Row("it is closed", "EBADF", t.Stat(file));
  t.Row("another of the same file is not", "ok", t.Stat(other));
  t.Row("an open FD", "ok", t.Close({open}));
  t.Row("it is closed too", "EBADF", t.Stat(open));
  Fdid next = t.Find("f");
  t.Row("numbers are not used again", "1", next != file && next != open);
  // What cannot be read is not carried out either.
  Bytes lying = Encoded(FdsReq{FdArray(std::span(&other, 1))});
  lying[0] = std::byte{2};
  t.Row("more than there are", "EIO", t.Exchange(Mid::kClose, lying));
}

void Pieces(Test& t) {
  RawSocket& socket = t.peer().socket();
  Bytes frame = RawSocket::Frame(kFStat, Encoded(FdReq{t.dir()}));
  for (std::byte byte : frame) {
    socket.Send({&byte, 1});
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  t.Row("byte by byte", "ok", socket.Receive());
  Bytes padded = frame;
  padded[6] = padded[7] = std::byte{0xff};
  socket.Send(padded);
  t.Row("with bytes in the padding", "ok", socket.Receive());
}

// Several at once are answered in order.
void Pipelined(Test& t) {
  RawSocket& socket = t.peer().socket();
  Bytes all;
  for (int i = 0; i < 50; ++i) {
    Bytes frame = RawSocket::Frame(kFStat, Encoded(FdReq{i % 2 == 0 ? t.dir() : 9999}));
    all.insert(all.end(), frame.begin(), frame.end());
  }
  Bytes unknown = RawSocket::Frame(0x7777, Bytes(100));
  all.insert(all.end(), unknown.begin(), unknown.end());
  socket.Send(all);
  bool right = true;
  for (int i = 0; i < 50; ++i) right = right && socket.Receive().ToString() == (i % 2 == 0 ? "ok" : "EBADF");
  t.Row("fifty in order", "1", right);
  t.Row("and an unknown one", "EOPNOTSUPP", socket.Receive());
}

// A server takes no descriptors: the kernel drops them, or they end the connection, but they are not kept.
void DescriptorSent(Test& t) {
  RawSocket& socket = t.peer().socket();
  int ends[2];
  if (!t.Need("a pipe", pipe2(ends, O_CLOEXEC) == 0)) return;
  Fd reading(ends[0]), writing(ends[1]);
  socket.Send(RawSocket::Frame(kFStat, Encoded(FdReq{t.dir()})), writing.get());
  Answer answer = socket.Receive();
  t.Row("with a request", "ok", answer);
  t.Row("it does not come back", "0", answer.donated.size());
  writing.reset();
  fcntl(reading.get(), F_SETFL, O_NONBLOCK);
  char byte;
  t.Row("the server does not keep it", "0", read(reading.get(), &byte, 1));
}

void TooLong(Test& t) {
  RawSocket& socket = t.peer().socket();
  constexpr uint32_t kLength = 64 << 20;
  socket.Send(RawSocket::FrameHeader(kFStat, kLength));
  Bytes piece(1 << 20);
  bool sent = true;
  for (int i = 0; i < 64 && sent; ++i) sent = socket.Send(piece);
  Answer answer = socket.Receive();
  t.Row("64 MiB", "EIO|hung up", answer);
  if (answer.error() == EIO) t.Row("the next request", "ok", t.Stat(t.dir()));
}

// The length of the whole message does not fit into 32 bits.
void HugeLength(Test& t) {
  t.peer().socket().Send(RawSocket::FrameHeader(kFStat, UINT32_MAX));
  t.Row("2^32 - 1 announced", "hung up|no answer", t.peer().socket().Receive(kSilence));
}

void HalfAMessage(Test& t) {
  Bytes frame = RawSocket::Frame(kFStat, Encoded(FdReq{t.dir()}));
  t.peer().socket().Send(std::span(frame).first(11));
  shutdown(t.peer().socket().fd(), SHUT_WR);
  t.Row("half a message, then the end", "hung up", t.peer().socket().Receive());
}

// Nothing of what the client had is wanted back before it goes.
void NothingClosed(Test& t) {
  if (!t.MakeDirectory("d") || !t.MakeFile("d/f")) return;
  for (int i = 0; i < 200; ++i) t.Walk(t.dir(), {"d", "f"});
  t.OpenFile("d", O_RDONLY);
  t.peer().socket().Close();
  t.Row("the socket is closed", "hung up", Answer{.end = Answer::End::kHungUp});
}

}  // namespace

void AddConnectionCases(std::vector<Case>& cases) {
  using enum Case::Over;
  cases.push_back({.name = "Connection.BeforeMount",
                   .run = BeforeMount,
                   .over = kSocket,
                   .before_mount = true,
                   .own_connection = true});
  cases.push_back({"Connection.Mount", Mount});
  cases.push_back({"Connection.Close", Close});
  cases.push_back({.name = "Connection.Pieces", .run = Pieces, .over = kSocket});
  cases.push_back({.name = "Connection.Pipelined", .run = Pipelined, .over = kSocket});
  cases.push_back({.name = "Connection.DescriptorSent", .run = DescriptorSent, .over = kSocket});
  cases.push_back({.name = "Connection.TooLong", .run = TooLong, .over = kSocket, .own_connection = true});
  cases.push_back({.name = "Connection.HugeLength", .run = HugeLength, .over = kSocket, .own_connection = true});
  cases.push_back({.name = "Connection.HalfAMessage", .run = HalfAMessage, .over = kSocket, .own_connection = true});
  cases.push_back({.name = "Connection.NothingClosed", .run = NothingClosed, .own_connection = true});
}

}  // namespace lisafs::conformance
