#include "lisafs/socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace lisafs {
namespace {

constexpr uint32_t kMaxMessage = 100000;

// A lane and, as the peer, the bare other end. Whether the socket blocks must not matter.
class SocketLaneTest : public testing::TestWithParam<bool> {
 protected:
  SocketLaneTest() {
    int sockets[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (GetParam() ? SOCK_NONBLOCK : 0), 0, sockets), 0);
    EXPECT_EQ(fcntl(sockets[1], F_SETFL, 0), 0);
    lane = std::make_unique<SocketLane>(Fd(sockets[0]), kMaxMessage);
    peer = Fd(sockets[1]);
  }

  void SendRaw(const std::string& bytes) {
    ASSERT_EQ(send(peer.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  std::string ReceiveRaw(size_t size) {
    std::string bytes(size, 0);
    EXPECT_EQ(recv(peer.get(), bytes.data(), size, MSG_WAITALL), static_cast<ssize_t>(size));
    return bytes;
  }
  void SendRights(const std::string& bytes, std::vector<int> fds) {
    iovec data{const_cast<char*>(bytes.data()), bytes.size()};
    std::vector<std::byte> control(CMSG_SPACE(fds.size() * sizeof(int)));
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    memcpy(CMSG_DATA(rights), fds.data(), fds.size() * sizeof(int));
    ASSERT_EQ(sendmsg(peer.get(), &message, 0), static_cast<ssize_t>(bytes.size()));
  }
  void ExpectMessage(uint16_t mid, std::string_view payload) {
    auto got = lane->Receive(0, nullptr);
    ASSERT_TRUE(got) << got.error().ToString();
    EXPECT_EQ(got->mid, mid);
    EXPECT_FALSE(got->too_long);
    EXPECT_TRUE(std::string_view(reinterpret_cast<const char*>(got->payload.data()), got->payload.size()) == payload);
  }

  std::unique_ptr<SocketLane> lane;
  Fd peer;
};
INSTANTIATE_TEST_SUITE_P(Sockets, SocketLaneTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "NonBlocking" : "Blocking"; });

std::string Header(uint32_t length, uint16_t mid) {
  std::string header(8, 0);
  memcpy(header.data(), &length, 4);
  memcpy(header.data() + 4, &mid, 2);
  return header;
}
std::string MessageBytes(uint16_t mid, const std::string& payload) {
  return Header(static_cast<uint32_t>(payload.size()), mid) + payload;
}

struct stat Stat(int fd) {
  struct stat st {};
  EXPECT_EQ(fstat(fd, &st), 0);
  return st;
}

TEST_P(SocketLaneTest, SendsHeaderAndPayload) {
  memcpy(lane->payload().data(), "hello", 5);
  ASSERT_TRUE(lane->Send(Mid::kFStat, 5, nullptr));
  EXPECT_EQ(ReceiveRaw(13), MessageBytes(3, "hello"));
  ASSERT_TRUE(lane->Send(Mid::kMount, 0, nullptr));
  EXPECT_EQ(ReceiveRaw(8), MessageBytes(1, ""));
}

TEST_P(SocketLaneTest, ReceivesWhatArrivesByteByByte) {
  std::thread sender([&] {
    for (char c : MessageBytes(3, "hello") + MessageBytes(4, "")) {
      SendRaw(std::string(1, c));
      usleep(500);
    }
  });
  ExpectMessage(3, "hello");
  ExpectMessage(4, "");
  sender.join();
}

TEST_P(SocketLaneTest, KeepsPipelinedMessagesApart) {
  std::string bytes;
  for (int i = 0; i < 50; ++i)
    bytes += MessageBytes(static_cast<uint16_t>(i), std::string(static_cast<size_t>(i * 10), 'a'));
  SendRaw(bytes);
  for (int i = 0; i < 50; ++i) {
    ExpectMessage(static_cast<uint16_t>(i), std::string(static_cast<size_t>(i * 10), 'a'));
    // An answer in between, which shares the buffer, disturbs nothing.
    memset(lane->payload().data(), 'z', 1000);
    ASSERT_TRUE(lane->Send(Mid::kFStat, 1000, nullptr));
  }
}

TEST_P(SocketLaneTest, CarriesTheLargestMessageThroughASmallBuffer) {
  const int small = 4096;
  ASSERT_EQ(setsockopt(lane->fd(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
  ASSERT_EQ(setsockopt(peer.get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
  std::string large(kMaxMessage, 0);
  for (size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * 31 + i / 251);
  std::thread other([&] {
    EXPECT_EQ(ReceiveRaw(8 + large.size()), MessageBytes(11, large));
    SendRaw(MessageBytes(12, large));
  });
  memcpy(lane->payload().data(), large.data(), large.size());
  ASSERT_TRUE(lane->Send(Mid::kPWrite, large.size(), nullptr));
  ExpectMessage(12, large);
  other.join();
}

TEST_P(SocketLaneTest, DrainsTooLongMessagesAndStaysInStep) {
  for (uint32_t length : {kMaxMessage + 1, kMaxMessage * 7, 64u << 20}) {
    std::thread sender([&] {
      SendRaw(Header(length, 11));
      const std::string piece(1 << 20, 'x');
      for (size_t left = length; left > 0; left -= std::min(left, piece.size())) {
        SendRaw(piece.substr(0, std::min(left, piece.size())));
      }
      SendRaw(MessageBytes(3, "next"));
    });
    auto got = lane->Receive(0, nullptr);
    ASSERT_TRUE(got);
    EXPECT_TRUE(got->too_long);
    EXPECT_EQ(got->mid, 11);
    EXPECT_TRUE(got->payload.empty());
    ExpectMessage(3, "next");
    sender.join();
  }
}

TEST_P(SocketLaneTest, SurvivesTheLargestLengthThereIs) {
  SendRaw(Header(UINT32_MAX, 3) + "something");
  peer.reset();
  EXPECT_EQ(lane->Receive(0, nullptr).error(), Errno(ECONNRESET));
}

TEST_P(SocketLaneTest, EndOfStreamAnywhereEndsIt) {
  const std::string message = MessageBytes(3, "hello");
  for (size_t sent = 0; sent < message.size(); ++sent) {
    int sockets[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    SocketLane receiver{Fd(sockets[0]), kMaxMessage};
    ASSERT_EQ(write(sockets[1], message.data(), sent), static_cast<ssize_t>(sent));
    close(sockets[1]);
    EXPECT_EQ(receiver.Receive(0, nullptr).error(), Errno(ECONNRESET)) << sent;
    EXPECT_EQ(receiver.Send(Mid::kFStat, 0, nullptr).error(), Errno(ECONNRESET)) << sent;
  }
}

TEST_P(SocketLaneTest, DonationsArriveInOrderAndAreClosedHere) {
  int pipe_ends[2];
  ASSERT_EQ(pipe2(pipe_ends, O_CLOEXEC), 0);
  const auto read_end = Stat(pipe_ends[0]);
  Donations donations;
  EXPECT_TRUE(donations.Add(Fd(pipe_ends[0])));
  EXPECT_TRUE(donations.Add(Fd(open("/dev/null", O_RDONLY | O_CLOEXEC))));
  const auto null = Stat(donations[1]);
  ASSERT_TRUE(lane->Send(Mid::kChannel, 16, &donations));
  EXPECT_EQ(donations.size(), 0u);
  EXPECT_EQ(fcntl(pipe_ends[0], F_GETFD), -1);

  SocketLane receiver(std::move(peer), kMaxMessage);
  Donations received;
  ASSERT_TRUE(receiver.Receive(2, &received));
  ASSERT_EQ(received.size(), 2u);
  EXPECT_EQ(Stat(received[0]).st_ino, read_end.st_ino);
  EXPECT_EQ(Stat(received[1]).st_rdev, null.st_rdev);
  EXPECT_EQ(fcntl(received[0], F_GETFD), FD_CLOEXEC);
  close(pipe_ends[1]);
}

// Whether a descriptor of the pipe's write end is left anywhere: without one the read end is at its end.
bool AllClosed(int read_end) {
  char c;
  return read(read_end, &c, 1) == 0;
}

TEST_P(SocketLaneTest, TakesNoDescriptorsThatItDoesNotWant) {
  for (size_t want : {0, 1}) {
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    // Two fit where there is room for one, since that is rounded up; and one before the payload's first byte.
    SendRights(Header(5, 3), {ends[1], ends[1]});
    SendRights("hello", {ends[1]});
    close(ends[1]);
    Donations received;
    auto got = lane->Receive(want, &received);
    ASSERT_TRUE(got);
    EXPECT_EQ(got->payload.size(), 5u);
    EXPECT_EQ(received.size(), want);
    received.Clear();
    EXPECT_TRUE(AllClosed(ends[0]));
    close(ends[0]);
  }
}

TEST_P(SocketLaneTest, ShutdownEndsWhoeverWaits) {
  std::thread receiver([&] { EXPECT_EQ(lane->Receive(0, nullptr).error(), Errno(ECONNRESET)); });
  usleep(20000);
  lane->Shutdown();
  receiver.join();
  char c;
  EXPECT_EQ(recv(peer.get(), &c, 1, 0), 0) << "the peer is told too";
}

TEST_P(SocketLaneTest, ShutdownEndsASenderWhosePeerDoesNotRead) {
  std::thread sender([&] {
    for (;;) {
      if (auto sent = lane->Send(Mid::kPRead, kMaxMessage, nullptr); !sent) {
        EXPECT_EQ(sent.error(), Errno(ECONNRESET));
        return;
      }
    }
  });
  usleep(20000);
  lane->Shutdown();
  sender.join();
}

TEST(Donations, CloseWhatDoesNotFit) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  {
    Donations donations;
    for (size_t i = 0; i < kMaxDonated; ++i) EXPECT_TRUE(donations.Add(Fd(dup(ends[1]))));
    EXPECT_FALSE(donations.Add(Fd(dup(ends[1]))));
    Fd taken = donations.Take(0);
    EXPECT_TRUE(taken.valid());
    EXPECT_FALSE(donations.Take(0).valid());
    EXPECT_FALSE(donations.Take(kMaxDonated).valid());
  }
  close(ends[1]);
  EXPECT_TRUE(AllClosed(ends[0]));
  close(ends[0]);
}

TEST(Donations, LeaveWhatIsLent) {
  auto owner = std::make_shared<Fd>(dup(STDOUT_FILENO));
  {
    Donations donations;
    EXPECT_TRUE(donations.Lend(owner->get(), owner));
    EXPECT_EQ(donations.size(), 1u);
    EXPECT_EQ(donations[0], owner->get());
    EXPECT_FALSE(donations.Take(0).valid());
    EXPECT_EQ(owner.use_count(), 2);
  }
  EXPECT_EQ(owner.use_count(), 1);
  EXPECT_GE(fcntl(owner->get(), F_GETFD), 0);
}

}  // namespace
}  // namespace lisafs
