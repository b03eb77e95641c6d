#ifndef LISAFS_BASE_INHERITED_H_
#define LISAFS_BASE_INHERITED_H_

#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "base/fd.h"

namespace lisafs {

// The open descriptor that a program was given as a number on its command line: its own from here on, and not inherited
// any further. The error says what is wrong with the number. One that was named before is refused: two owners would
// close it twice.
tl::expected<Fd, std::string> TakeInherited(std::string_view number);

// The same, or DieOfUsage with what is wrong with `argument`.
Fd TakeInheritedOrExit(std::string_view number, std::string_view argument);

}  // namespace lisafs

#endif  // LISAFS_BASE_INHERITED_H_
