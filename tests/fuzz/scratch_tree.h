#ifndef LISAFS_TESTS_FUZZ_SCRATCH_TREE_H_
#define LISAFS_TESTS_FUZZ_SCRATCH_TREE_H_

#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace lisafs::fuzz {

// A small file system in memory that is mounted nowhere: whatever is done in it reaches nothing else, fills nothing
// else, and is gone with the process. Needs root.
class ScratchTree {
 public:
  static Result<ScratchTree> Make();

  // Empties it and puts in what every run starts with: directories d and d/e, files f and d/g, a link l to d, a broken
  // link b, a FIFO p, a socket s.
  void Refill();
  // What other processes of the host do: the `choice`-th of a few changes.
  void ChangeFromHost(unsigned choice);

  // Its root, O_PATH.
  Fd Root() const;

 private:
  explicit ScratchTree(Fd mount);
  std::string Path(const char* name) const { return path_ + name; }

  Fd mount_;
  std::string path_;  // As /proc/self/fd has it, with a slash at the end.
};

}  // namespace lisafs::fuzz

#endif  // LISAFS_TESTS_FUZZ_SCRATCH_TREE_H_
