#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "confine/confine.h"

namespace lisafs {
namespace {

// Soft and hard become `value`, or the hard limit where that is lower or `value` is 0.
template <typename Resource>
StepResult<void> Lower(Resource resource, uint64_t value, const char* what) {
  rlimit limit;
  if (getrlimit(resource, &limit) < 0) return FailStepWithErrno(what);
  if (value != 0) limit.rlim_max = std::min<rlim_t>(value, limit.rlim_max);
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(resource, &limit) < 0) return FailStepWithErrno(what);
  return {};
}

StepResult<void> SetLimits(const Privileges& privileges) {
  if (auto set = Lower(RLIMIT_NOFILE, privileges.max_open_files, "setrlimit RLIMIT_NOFILE"); !set) return set;
#ifndef __SANITIZE_ADDRESS__
  // The sanitizer's shadow counts, and is larger than any limit.
  if (auto set = Lower(RLIMIT_DATA, privileges.max_memory, "setrlimit RLIMIT_DATA"); !set) return set;
#endif
  rlimit none = {0, 0};
  if (setrlimit(RLIMIT_CORE, &none) < 0) return FailStepWithErrno("setrlimit RLIMIT_CORE");
  return {};
}

// What the starter's session keyring holds is not this process's to use.
StepResult<void> LeaveKeyring() {
  // Some kernels have none, and engines in which lisafsd may run forbid it: then there is nothing in it either.
  if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr) < 0 && errno != ENOSYS && errno != EPERM) {
    return FailStepWithErrno("keyctl KEYCTL_JOIN_SESSION_KEYRING");
  }
  return {};
}

// These calls tell the old id, whether they worked or not; one that nobody has changes nothing.
StepResult<void> MakeFilesAs(uid_t uid, gid_t gid) {
  setfsgid(gid);
  setfsuid(uid);
  if (static_cast<gid_t>(setfsgid(-1)) != gid) return FailStep("setfsgid", Errno(EINVAL));
  if (static_cast<uid_t>(setfsuid(-1)) != uid) return FailStep("setfsuid", Errno(EINVAL));
  return {};
}

StepResult<void> EmptyBoundingSet() {
  // Until the kernel knows no more: it may be newer than the headers.
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) return FailStepWithErrno("prctl PR_CAPBSET_DROP");
  }
  return {};
}

StepResult<void> KeepOnly(const std::vector<int>& capabilities) {
  // libc has no wrapper, and libcap's does no more for a process of one thread.
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {};
  for (int capability : capabilities) {
    sets[CAP_TO_INDEX(capability)].permitted |= CAP_TO_MASK(capability);
    sets[CAP_TO_INDEX(capability)].effective |= CAP_TO_MASK(capability);
  }
  if (syscall(SYS_capset, &header, sets) < 0) return FailStepWithErrno("capset");
  return {};
}

}  // namespace

StepResult<void> EnterUserNamespace(Fd user_namespace) {
  if (!user_namespace) return {};
  if (setns(user_namespace.get(), CLONE_NEWUSER) < 0) return FailStepWithErrno("setns into a user namespace");
  return {};
}

StepResult<void> DropPrivileges(const Privileges& privileges) {
  umask(0);
  if (auto set = SetLimits(privileges); !set) return set;
  if (setgroups(0, nullptr) < 0) return FailStepWithErrno("setgroups");
  if (auto left = LeaveKeyring(); !left) return left;
  // The kernel takes effective capabilities on files away from whoever is no longer root in this; they come back below.
  if (auto made = MakeFilesAs(privileges.file_uid, privileges.file_gid); !made) return made;

  // The bounding set and the securebits need CAP_SETPCAP, so the capabilities go last.
  if (auto emptied = EmptyBoundingSet(); !emptied) return emptied;
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0) {
    return FailStepWithErrno("prctl PR_CAP_AMBIENT_CLEAR_ALL");
  }
  constexpr unsigned long kSecureBits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                                        SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                                        SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
  if (prctl(PR_SET_SECUREBITS, kSecureBits, 0, 0, 0) < 0) return FailStepWithErrno("prctl PR_SET_SECUREBITS");
  if (auto kept = KeepOnly(privileges.capabilities); !kept) return kept;

  // Nobody without CAP_SYS_PTRACE looks into the process or dumps it. Its own threads still use its /proc/self/fd.
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) return FailStepWithErrno("prctl PR_SET_DUMPABLE");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return FailStepWithErrno("prctl PR_SET_NO_NEW_PRIVS");
  return {};
}

}  // namespace lisafs
