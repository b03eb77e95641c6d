#ifndef LISAFS_GOFER_UNDO_H_
#define LISAFS_GOFER_UNDO_H_

#include <unistd.h>

#include "gofer/name.h"

namespace lisafs {

// Removes what a creation of several steps has made, unless it is cancelled. The directory and the name outlive it; the
// directory's op lock is held.
class UndoCreation {
 public:
  // `flags` of unlinkat(2).
  UndoCreation(int directory, const Name& name, int flags) : directory_(directory), name_(name), flags_(flags) {}
  ~UndoCreation() {
    if (armed_) unlinkat(directory_, name_.c_str(), flags_);
  }
  UndoCreation(const UndoCreation&) = delete;
  UndoCreation& operator=(const UndoCreation&) = delete;
  void Cancel() { armed_ = false; }

 private:
  const int directory_;
  const Name& name_;
  const int flags_;
  bool armed_ = true;
};

}  // namespace lisafs

#endif  // LISAFS_GOFER_UNDO_H_
