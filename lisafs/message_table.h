#ifndef LISAFS_LISAFS_MESSAGE_TABLE_H_
#define LISAFS_LISAFS_MESSAGE_TABLE_H_

#include <string>

namespace lisafs {

// The table of docs/protocol.md, in Markdown, as the declarations in messages.h say it: one row a message, with the
// bodies' fields, their types and, as far as these are fixed, their offsets.
std::string MessageTable();

}  // namespace lisafs

#endif  // LISAFS_LISAFS_MESSAGE_TABLE_H_
