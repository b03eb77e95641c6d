#include "sandbox/files_as.h"

#include <linux/securebits.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>

namespace lisafs {

FilesAs::FilesAs(uid_t uid, gid_t gid) : secure_bits_(prctl(PR_GET_SECUREBITS)) {
  // Without this the kernel takes the rights on others' files away with root's id.
  prctl(PR_SET_SECUREBITS, secure_bits_ | SECBIT_NO_SETUID_FIXUP);
  gid_ = static_cast<gid_t>(setfsgid(gid));
  uid_ = static_cast<uid_t>(setfsuid(uid));
}

FilesAs::~FilesAs() {
  setfsuid(uid_);
  setfsgid(gid_);
  prctl(PR_SET_SECUREBITS, secure_bits_);
}

}  // namespace lisafs
