#include "plugin/io_ring.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstring>

namespace lisafs {
namespace {

constexpr size_t kSubmissionSize = 128;  // With IORING_SETUP_SQE128.

// Words that the kernel reads and writes at the same time.
uint32_t LoadAcquire(uint32_t& word) { return std::atomic_ref(word).load(std::memory_order_acquire); }
void StoreRelease(uint32_t& word, uint32_t value) { std::atomic_ref(word).store(value, std::memory_order_release); }

Status Register(int ring, unsigned what, const void* argument, unsigned count) {
  if (syscall(SYS_io_uring_register, ring, what, argument, count) < 0) return FailWithErrno();
  return {};
}

Result<std::byte*> MapRing(int ring, size_t size, off_t offset) {
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, offset);
  if (memory == MAP_FAILED) return FailWithErrno();
  return static_cast<std::byte*>(memory);
}

}  // namespace

Result<std::unique_ptr<IoRing>> IoRing::Make(int file, unsigned entries) {
  std::unique_ptr<IoRing> ring(new IoRing);
  io_uring_params params = {};
  params.flags = IORING_SETUP_SQE128 | IORING_SETUP_R_DISABLED;
  ring->ring_ = Fd(static_cast<int>(syscall(SYS_io_uring_setup, entries, &params)));
  if (!ring->ring_) return FailWithErrno();
  LISAFS_RETURN_IF_ERROR(ring->Narrow(file));
  LISAFS_RETURN_IF_ERROR(ring->Map(params));
  return ring;
}

Status IoRing::Narrow(int file) {
  LISAFS_RETURN_IF_ERROR(Register(ring_.get(), IORING_REGISTER_FILES, &file, 1));
  io_uring_restriction restrictions[3] = {};
  restrictions[0].opcode = IORING_RESTRICTION_SQE_OP;
  restrictions[0].sqe_op = IORING_OP_URING_CMD;
  restrictions[1].opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED;
  restrictions[1].sqe_flags = IOSQE_FIXED_FILE;
  restrictions[2].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
  restrictions[2].sqe_flags = IOSQE_FIXED_FILE;
  LISAFS_RETURN_IF_ERROR(Register(ring_.get(), IORING_REGISTER_RESTRICTIONS, restrictions, std::size(restrictions)));
  return Register(ring_.get(), IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
}

Status IoRing::Map(const io_uring_params& params) {
  // One mapping has both rings since Linux 5.4.
  rings_size_ = std::max<size_t>(params.sq_off.array + params.sq_entries * sizeof(uint32_t),
                                 params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe));
  LISAFS_ASSIGN_OR_RETURN(rings_, MapRing(ring_.get(), rings_size_, IORING_OFF_SQ_RING));
  submissions_size_ = params.sq_entries * kSubmissionSize;
  LISAFS_ASSIGN_OR_RETURN(submissions_, MapRing(ring_.get(), submissions_size_, IORING_OFF_SQES));
  auto word = [&](uint32_t offset) { return reinterpret_cast<uint32_t*>(rings_ + offset); };
  submission_tail_ = word(params.sq_off.tail);
  submission_array_ = word(params.sq_off.array);
  completion_head_ = word(params.cq_off.head);
  completion_tail_ = word(params.cq_off.tail);
  completions_ = reinterpret_cast<io_uring_cqe*>(rings_ + params.cq_off.cqes);
  submission_mask_ = params.sq_entries - 1;
  completion_mask_ = params.cq_entries - 1;
  return {};
}

IoRing::~IoRing() {
  if (submissions_ != nullptr) munmap(submissions_, submissions_size_);
  if (rings_ != nullptr) munmap(rings_, rings_size_);
}

void IoRing::Queue(const Command& command) {
  assert(queued_ <= submission_mask_);
  const uint32_t index = tail_ & submission_mask_;
  std::byte* place = submissions_ + index * kSubmissionSize;
  memset(place, 0, kSubmissionSize);
  io_uring_sqe submission = {};
  submission.opcode = IORING_OP_URING_CMD;
  submission.flags = IOSQE_FIXED_FILE;  // The one at index 0.
  submission.cmd_op = command.operation;
  submission.addr = reinterpret_cast<uintptr_t>(command.buffer);
  submission.len = command.length;
  submission.user_data = command.user_data;
  memcpy(place, &submission, offsetof(io_uring_sqe, cmd));
  memcpy(place + offsetof(io_uring_sqe, cmd), command.area.data(), command.area.size());
  submission_array_[index] = index;
  StoreRelease(*submission_tail_, ++tail_);
  ++queued_;
}

Result<IoRing::Completion> IoRing::Await() {
  for (Completion completion;;) {
    if (queued_ == 0 && Take(completion)) return completion;
    const long submitted =
        syscall(SYS_io_uring_enter, ring_.get(), queued_, 1, IORING_ENTER_GETEVENTS, nullptr, size_t{0});
    if (submitted >= 0) {
      queued_ -= static_cast<uint32_t>(submitted);
    } else if (errno != EINTR) {
      return FailWithErrno();
    }
  }
}

bool IoRing::Take(Completion& completion) {
  const uint32_t head = *completion_head_;  // Only written here.
  if (head == LoadAcquire(*completion_tail_)) return false;
  const io_uring_cqe& entry = completions_[head & completion_mask_];
  completion = {entry.user_data, entry.res};
  StoreRelease(*completion_head_, head + 1);
  return true;
}

}  // namespace lisafs
