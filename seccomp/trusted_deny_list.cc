#include "seccomp/trusted_deny_list.h"

#include <linux/keyctl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

namespace lisafs {
namespace {

void ForbidKernelCode(SeccompDenyList& list) {
  for (int call : {SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(kexec_load),
                   SCMP_SYS(kexec_file_load), SCMP_SYS(bpf)}) {
    list.Forbid(call, "code in the kernel");
  }
  for (int call : {SCMP_SYS(iopl), SCMP_SYS(ioperm), SCMP_SYS(modify_ldt)}) list.Forbid(call, "the hardware itself");
  for (int call : {SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd)}) {
    list.Forbid(call, "parts of the kernel in which many mistakes were found");
  }
}

void ForbidOtherProcesses(SeccompDenyList& list) {
#ifndef __SANITIZE_ADDRESS__
  // The sanitizer stops the process to look for leaks.
  list.Forbid(SCMP_SYS(ptrace), "other processes' memory");
#endif
  for (int call : {SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(kcmp)}) {
    list.Forbid(call, "other processes' memory");
  }
  for (int call : {SCMP_SYS(add_key), SCMP_SYS(request_key)}) list.Forbid(call, "the kernel's keys");
  list.Forbid(SCMP_SYS(keyctl), "the kernel's keys; a gofer leaves the keyring that it was started with",
              {DenyAllBut(0, KEYCTL_JOIN_SESSION_KEYRING, "KEYCTL_JOIN_SESSION_KEYRING")});
  list.Forbid(SCMP_SYS(ioctl), "typing into a terminal", {DenyIs(1, TIOCSTI, "TIOCSTI")})
      .Forbid(SCMP_SYS(ioctl), "pasting into a console", {DenyIs(1, TIOCLINUX, "TIOCLINUX")});
}

void ForbidTheMachine(SeccompDenyList& list) {
  for (int call : {SCMP_SYS(settimeofday), SCMP_SYS(clock_settime), SCMP_SYS(adjtimex), SCMP_SYS(clock_adjtime)}) {
    list.Forbid(call, "the machine's clock");
  }
  for (int call : {SCMP_SYS(reboot), SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(acct), SCMP_SYS(quotactl),
                   SCMP_SYS(sethostname), SCMP_SYS(setdomainname), SCMP_SYS(syslog), SCMP_SYS(vhangup)}) {
    list.Forbid(call, "the machine's administration");
  }
}

void ForbidWaysToFiles(SeccompDenyList& list) {
  list.Forbid(SCMP_SYS(open_by_handle_at), "files without a name that leads to them");
  for (const auto& [call, mode] : {std::pair(SCMP_SYS(mknod), 1u), std::pair(SCMP_SYS(mknodat), 2u)}) {
    list.Forbid(call, "devices", {DenyMasked(mode, S_IFMT, S_IFBLK, "S_IFBLK")})
        .Forbid(call, "devices; whiteouts are none",
                {DenyMasked(mode, S_IFMT, S_IFCHR, "S_IFCHR"), DenyAllBut(mode + 1, 0, "device 0")});
  }
  for (const auto& [family, name] :
       {std::pair(AF_PACKET, "AF_PACKET"), std::pair(AF_ALG, "AF_ALG"), std::pair(AF_VSOCK, "AF_VSOCK"),
        std::pair(AF_KEY, "AF_KEY"), std::pair(AF_XDP, "AF_XDP"), std::pair(AF_TIPC, "AF_TIPC"),
        std::pair(AF_CAN, "AF_CAN"), std::pair(AF_BLUETOOTH, "AF_BLUETOOTH")}) {
    list.Forbid(SCMP_SYS(socket), "networks that are not asked for", {DenyIs(0, family, name)});
  }
  list.Forbid(SCMP_SYS(socket), "packets of one's own making",
              {DenyIs(0, AF_INET, "AF_INET"), DenyMasked(1, 0xf, SOCK_RAW, "SOCK_RAW")})
      .Forbid(SCMP_SYS(socket), "packets of one's own making",
              {DenyIs(0, AF_INET6, "AF_INET6"), DenyMasked(1, 0xf, SOCK_RAW, "SOCK_RAW")});
}

}  // namespace

SeccompDenyList TrustedDenyList(const TrustedDenyListOptions& options) {
  SeccompDenyList list;
  ForbidKernelCode(list);
  ForbidOtherProcesses(list);
  ForbidTheMachine(list);
  ForbidWaysToFiles(list);
  if (!options.fuse_io_uring) {
    for (int call : {SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_register), SCMP_SYS(io_uring_enter)}) {
      list.Forbid(call, "rings, if FUSE over io_uring is off");
    }
  }
  list.Forbid(SCMP_SYS(execveat), "programs without a name");
  return list;
}

}  // namespace lisafs
