#ifndef LISAFS_BASE_ESCAPE_H_
#define LISAFS_BASE_ESCAPE_H_

#include <string>
#include <string_view>

namespace lisafs {

// The text with its control characters, among them those of two UTF-8 bytes, as \xNN: fit for a terminal or one line of
// a log, whoever chose it.
std::string Escape(std::string_view text);

}  // namespace lisafs

#endif  // LISAFS_BASE_ESCAPE_H_
