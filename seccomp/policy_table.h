#ifndef LISAFS_SECCOMP_POLICY_TABLE_H_
#define LISAFS_SECCOMP_POLICY_TABLE_H_

#include <string>

namespace lisafs {

// docs/system-calls.md: every policy as a Markdown table.
std::string PolicyTables();

}  // namespace lisafs

#endif  // LISAFS_SECCOMP_POLICY_TABLE_H_
