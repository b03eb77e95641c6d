#ifndef LISAFS_BASE_SHARED_PAGE_H_
#define LISAFS_BASE_SHARED_PAGE_H_

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <type_traits>

#include "base/fd.h"
#include "base/result.h"

namespace lisafs {

// Maps the `Page` that `file` begins with, shared with all who have it mapped, for good: the file may be closed. Only
// for reading if Page is const. EINVAL if the file is too short. What it says is for the caller to check.
template <typename Page>
Result<Page*> MapSharedPage(const Fd& file) {
  struct stat stat;
  if (fstat(file.get(), &stat) != 0) return FailWithErrno();
  if (stat.st_size < static_cast<off_t>(sizeof(Page))) return Fail(EINVAL);
  const int protection = std::is_const_v<Page> ? PROT_READ : PROT_READ | PROT_WRITE;
  void* mapped = mmap(nullptr, sizeof(Page), protection, MAP_SHARED, file.get(), 0);
  if (mapped == MAP_FAILED) return FailWithErrno();
  return static_cast<Page*>(mapped);
}

}  // namespace lisafs

#endif  // LISAFS_BASE_SHARED_PAGE_H_
