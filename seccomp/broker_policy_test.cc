#include "seccomp/broker_policy.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "seccomp/policy_testing.h"

namespace lisafs {
namespace {

const PolicyCase kCases[] = {
    {"register a file and take it back", true,
     [](int file, int) {
       char map[16] = {};
       if (ioctl(file, _IOC(_IOC_WRITE, 229, 1, 16), map) != -1 || errno != ENOTTY) _exit(1);
       if (ioctl(file, _IOC(_IOC_WRITE, 229, 2, 4), map) != -1 || errno != ENOTTY) _exit(1);
     }},
    {"serve", true,
     [](int file, int socket) {
       pollfd wait = {socket, POLLIN, 0};
       if (poll(&wait, 1, 0) != 0) _exit(1);
       char byte = 'x';
       iovec part = {&byte, 1};
       msghdr message = {};
       message.msg_iov = &part;
       message.msg_iovlen = 1;
       if (sendmsg(socket, &message, MSG_NOSIGNAL) != 1) _exit(1);
       if (recvmsg(socket, &message, MSG_DONTWAIT) >= 0 || errno != EAGAIN) _exit(1);
       struct stat info;
       if (fstat(file, &info) != 0 || write(file, "x", 1) != 1 || close(file) != 0) _exit(1);
     }},
    // FUSE_DEV_IOC_CLONE: a device of one's own.
    {"another FUSE request", false, [](int file, int) { ioctl(file, _IOR(229, 0, uint32_t)); }},
    {"another ioctl", false, [](int file, int) { ioctl(file, FIONREAD); }},
    {"read a FUSE request", false,
     [](int file, int) {
       char byte;
       if (read(file, &byte, 1) < 0) return;
     }},
    {"open", false, [](int, int) { open("/", O_RDONLY); }},
    {"mount", false, [](int, int) { syscall(SYS_mount, "", "/", "", 0, nullptr); }},
    {"fsopen", false, [](int, int) { syscall(SYS_fsopen, "tmpfs", 0); }},
    {"setns", false, [](int, int) { syscall(SYS_setns, -1, 0); }},
    {"unshare", false, [](int, int) { syscall(SYS_unshare, 0); }},
    {"bpf", false, [](int, int) { syscall(SYS_bpf, 0, nullptr, 0); }},
    {"execve", false, [](int, int) { syscall(SYS_execve, "/none", nullptr, nullptr); }},
    {"fork", false, [](int, int) { syscall(SYS_clone, 0, nullptr, nullptr, nullptr, 0); }},
    {"map memory", false, [](int, int) { mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }},
};

TEST(BrokerPolicy, AdmitsWhatItShould) { ExpectOutcomes(BrokerPolicy(), kCases); }

}  // namespace
}  // namespace lisafs
