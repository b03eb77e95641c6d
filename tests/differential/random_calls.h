#ifndef LISAFS_TESTS_DIFFERENTIAL_RANDOM_CALLS_H_
#define LISAFS_TESTS_DIFFERENTIAL_RANDOM_CALLS_H_

#include <set>

namespace lisafs::differential {

// Makes random system calls on a few files in the working directory and says for each what it gave. Step N of a seed
// makes the same call whichever others are made, so that a sequence can be cut down to the calls that matter.
void MakeRandomCalls(unsigned seed, const std::set<int>& steps);

}  // namespace lisafs::differential

#endif  // LISAFS_TESTS_DIFFERENTIAL_RANDOM_CALLS_H_
