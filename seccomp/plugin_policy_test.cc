#include "seccomp/plugin_policy.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "seccomp/policy_testing.h"

namespace lisafs {
namespace {

const PolicyCase kCases[] = {
    {"read and write a request", true,
     [](int file, int) {
       char byte = 'x';
       if (write(file, &byte, 1) != 1 || lseek(file, 0, SEEK_SET) != 0 || read(file, &byte, 1) != 1) _exit(1);
     }},
    {"donated file", true,
     [](int file, int) {
       char byte = 'x';
       if (pwrite(file, &byte, 1, 0) != 1 || pread(file, &byte, 1, 0) != 1) _exit(1);
       if (fallocate(file, 0, 0, 10) < 0 || fsync(file) < 0 || fdatasync(file) < 0) _exit(1);
       if (copy_file_range(file, nullptr, file, nullptr, 0, 0) < 0 || close(file) < 0) _exit(1);
     }},
    {"messages", true,
     [](int, int socket) {
       char byte = 'x';
       iovec part = {&byte, 1};
       msghdr message = {};
       message.msg_iov = &part;
       message.msg_iovlen = 1;
       if (send(socket, &byte, 1, MSG_NOSIGNAL) != 1) _exit(1);
       if (recvmsg(socket, &message, MSG_DONTWAIT) >= 0 || errno != EAGAIN) _exit(1);
       shutdown(socket, SHUT_RDWR);
     }},
    {"messages with descriptors", false,
     [](int, int socket) {
       msghdr message = {};
       sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
     }},
    {"window", true,
     [](int file, int) {
       struct stat info;
       if (pwrite(file, "", 1, 4095) != 1 || fstat(file, &info) < 0) _exit(1);
       if (mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) == MAP_FAILED) _exit(1);
     }},
    {"ftruncate", false,
     [](int file, int) {
       if (ftruncate(file, 1) < 0) return;
     }},
    {"open", false, [](int file, int) { openat(file, "none", O_RDONLY | O_NOFOLLOW); }},
    {"openat2", false, [](int file, int) { syscall(SYS_openat2, file, "none", nullptr, 0); }},
    {"socket", false, [](int, int) { socket(AF_UNIX, SOCK_STREAM, 0); }},
    {"socketpair", false,
     [](int, int) {
       int ends[2];
       socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
     }},
    {"memfd", false, [](int, int) { memfd_create("none", 0); }},
    {"mkdir", false, [](int file, int) { mkdirat(file, "none", 0700); }},
    {"unlink", false, [](int file, int) { unlinkat(file, "none", 0); }},
    {"chmod", false, [](int file, int) { fchmod(file, 0600); }},
    {"executable memory", false,
     [](int, int) { mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }},
    {"execve", false, [](int, int) { syscall(SYS_execve, "/none", nullptr, nullptr); }},
    {"mount", false, [](int, int) { syscall(SYS_mount, "", "/", "", 0, nullptr); }},
    {"setns", false, [](int, int) { syscall(SYS_setns, -1, 0); }},
    {"ptrace", false, [](int, int) { syscall(SYS_ptrace, 0, 0, 0, 0); }},
    {"making a ring", false, [](int, int) { syscall(SYS_io_uring_setup, 1, nullptr); }},
    {"changing a ring", false, [](int file, int) { syscall(SYS_io_uring_register, file, 2, nullptr, 0); }},
    {"another's CPUs", false, [](int, int) { syscall(SYS_sched_setaffinity, 1, 0, nullptr); }},
};

// Only with io_uring.
const PolicyCase kRingCases[] = {
    {"using a ring", true,
     [](int file, int) {
       if (syscall(SYS_io_uring_enter, file, 0, 0, 0, nullptr, 0) >= 0 || errno != EOPNOTSUPP) _exit(1);
     }},
    {"staying on a CPU", true,
     [](int, int) {
       if (syscall(SYS_sched_setaffinity, 0, 0, nullptr) >= 0 || errno != EINVAL) _exit(1);
     }},
};

TEST(PluginPolicy, AdmitsWhatItShould) {
  for (bool io_uring : {false, true}) {
    SCOPED_TRACE(io_uring);
    ExpectOutcomes(PluginPolicy(io_uring), kCases);
  }
}

TEST(PluginPolicy, AdmitsRingsOnlyToWhoeverHasThem) {
  for (const PolicyCase& c : kRingCases) {
    EXPECT_EQ(OutcomeUnder(PluginPolicy(true), c), kSurvived) << c.name;
    EXPECT_EQ(OutcomeUnder(PluginPolicy(false), c), kKilled) << c.name;
  }
}

}  // namespace
}  // namespace lisafs
