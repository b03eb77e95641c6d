#include "plugin/io_ring.h"

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace lisafs {
namespace {

class IoRingTest : public testing::Test {
 protected:
  void SetUp() override {
    // A file that takes commands, and does nothing for them, since Linux 6.2.
    Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
    auto ring = IoRing::Make(null.get(), 4);
    if (!ring) GTEST_SKIP() << "no io_uring here: " << ring.error().ToString();
    ring_ = std::move(*ring);
  }

  std::unique_ptr<IoRing> ring_;
};

TEST_F(IoRingTest, CommandsComplete) {
  for (uint64_t i = 0; i < 10; ++i) {
    ring_->Queue({.operation = 7, .user_data = i});
    auto completion = ring_->Await();
    ASSERT_TRUE(completion);
    EXPECT_EQ(completion->user_data, i);
    if (completion->result == -EOPNOTSUPP) GTEST_SKIP() << "/dev/null takes no commands on this kernel";
    EXPECT_EQ(completion->result, 0);
  }
  for (uint64_t i = 0; i < 4; ++i) ring_->Queue({.operation = 7, .user_data = i});
  for (uint64_t i = 0; i < 4; ++i) EXPECT_EQ(ring_->Await()->user_data, i);
}

TEST_F(IoRingTest, NothingElseCanBeRegistered) {
  const int other = STDIN_FILENO;
  auto attempt = [&](unsigned what, const void* argument, unsigned count) {
    return syscall(SYS_io_uring_register, ring_->fd(), what, argument, count) < 0 ? errno : 0;
  };
  EXPECT_EQ(attempt(IORING_REGISTER_FILES, &other, 1), EACCES);
  EXPECT_EQ(attempt(IORING_UNREGISTER_FILES, nullptr, 0), EACCES);
  EXPECT_EQ(attempt(IORING_REGISTER_EVENTFD, &other, 1), EACCES);
  EXPECT_EQ(attempt(IORING_REGISTER_PROBE, nullptr, 0), EACCES);
}

// What a process that is not this program could do with the ring it has.
TEST_F(IoRingTest, NothingElseCanBeSubmitted) {
  io_uring_params params = {};
  // Where the kernel put things is the same for any ring of this size.
  params.flags = IORING_SETUP_SQE128;
  Fd like(static_cast<int>(syscall(SYS_io_uring_setup, 4, &params)));
  ASSERT_TRUE(like.valid());
  auto map = [&](size_t size, off_t offset) {
    return static_cast<std::byte*>(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring_->fd(), offset));
  };
  const size_t rings_size = params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe);
  std::byte* rings = map(rings_size, IORING_OFF_SQ_RING);
  std::byte* submissions = map(params.sq_entries * size_t{128}, IORING_OFF_SQES);
  ASSERT_NE(rings, MAP_FAILED);
  ASSERT_NE(submissions, MAP_FAILED);
  auto* tail = reinterpret_cast<uint32_t*>(rings + params.sq_off.tail);
  auto* array = reinterpret_cast<uint32_t*>(rings + params.sq_off.array);
  auto* done = reinterpret_cast<uint32_t*>(rings + params.cq_off.tail);
  auto* completions = reinterpret_cast<io_uring_cqe*>(rings + params.cq_off.cqes);

  auto attempt = [&](uint8_t opcode, uint8_t flags, int fd) {
    io_uring_sqe submission = {};
    submission.opcode = opcode;
    submission.flags = flags;
    submission.fd = fd;
    memcpy(submissions + (*tail & 3) * 128, &submission, offsetof(io_uring_sqe, cmd));
    array[*tail & 3] = *tail & 3;
    ++*tail;
    EXPECT_EQ(syscall(SYS_io_uring_enter, ring_->fd(), 1, 1, IORING_ENTER_GETEVENTS, nullptr, size_t{0}), 1);
    return completions[(*done - 1) & (params.cq_entries - 1)].res;
  };
  EXPECT_EQ(attempt(IORING_OP_NOP, 0, 0), -EACCES);
  EXPECT_EQ(attempt(IORING_OP_NOP, IOSQE_FIXED_FILE, 0), -EACCES);
  EXPECT_EQ(attempt(IORING_OP_OPENAT, 0, AT_FDCWD), -EACCES);
  EXPECT_EQ(attempt(IORING_OP_URING_CMD, 0, STDIN_FILENO), -EACCES);
  EXPECT_EQ(attempt(IORING_OP_URING_CMD, IOSQE_FIXED_FILE | IOSQE_ASYNC, 0), -EACCES);
  EXPECT_EQ(attempt(IORING_OP_URING_CMD, IOSQE_FIXED_FILE, 1), -EBADF);
  munmap(rings, rings_size);
  munmap(submissions, params.sq_entries * size_t{128});
}

}  // namespace
}  // namespace lisafs
