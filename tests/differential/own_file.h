#ifndef LISAFS_TESTS_DIFFERENTIAL_OWN_FILE_H_
#define LISAFS_TESTS_DIFFERENTIAL_OWN_FILE_H_

#include "tests/differential/worker.h"

namespace lisafs::differential {

// Changes a file of the worker's own in many ways for as long as it goes on; the file always holds what the worker
// remembers.
void KeepOwnFile(Worker& worker);

}  // namespace lisafs::differential

#endif  // LISAFS_TESTS_DIFFERENTIAL_OWN_FILE_H_
