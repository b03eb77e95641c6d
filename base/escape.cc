#include "base/escape.h"

#include <stdio.h>

namespace lisafs {

std::string Escape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  unsigned char previous = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned char c = text[i];
    unsigned char next = i + 1 < text.size() ? text[i + 1] : 0;
    // U+0080 to U+009F are C2 80 to C2 9F: among them is a terminal's CSI.
    auto second_byte = [](unsigned char byte) { return byte >= 0x80 && byte <= 0x9f; };
    bool control = c < 0x20 || c == 0x7f || (c == 0xc2 && second_byte(next)) || (previous == 0xc2 && second_byte(c));
    previous = c;
    if (!control) {
      out += static_cast<char>(c);
      continue;
    }
    char escape[5];
    snprintf(escape, sizeof escape, "\\x%02x", c);
    out += escape;
  }
  return out;
}

}  // namespace lisafs
