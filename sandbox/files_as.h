#ifndef LISAFS_SANDBOX_FILES_AS_H_
#define LISAFS_SANDBOX_FILES_AS_H_

#include <sys/types.h>

namespace lisafs {

// While this lives, what the calling thread makes belongs to another user and group. Its capabilities stay what they
// are. To be destroyed on the same thread.
class FilesAs {
 public:
  FilesAs(uid_t uid, gid_t gid);
  FilesAs(const FilesAs&) = delete;
  FilesAs& operator=(const FilesAs&) = delete;
  ~FilesAs();

 private:
  int secure_bits_;
  uid_t uid_;
  gid_t gid_;
};

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_FILES_AS_H_
