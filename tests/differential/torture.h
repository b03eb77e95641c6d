#ifndef LISAFS_TESTS_DIFFERENTIAL_TORTURE_H_
#define LISAFS_TESTS_DIFFERENTIAL_TORTURE_H_

// Many processes at once on the files below one directory, each of which knows what it has to find there.

namespace lisafs::differential {

// Tortures the working directory for so many seconds. False, and a line about it on standard output for each, if a
// process found what it should not have.
bool Torture(int seconds, unsigned seed);

// Whether what Torture left in the working directory is whole, seen by somebody else. Says what is not.
bool LeftWhole();

}  // namespace lisafs::differential

#endif  // LISAFS_TESTS_DIFFERENTIAL_TORTURE_H_
