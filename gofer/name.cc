#include "gofer/name.h"

#include <string>

namespace lisafs {

Result<Name> Name::Make(std::string_view name) {
  if (name.empty() || name == "." || name == ".." || name.find('/') != name.npos || name.find('\0') != name.npos) {
    return Fail(EINVAL);
  }
  Name made;
  made.view_ = name;
  made.too_long_ = name.size() > NAME_MAX;
  if (!made.too_long_) {
    memcpy(made.text_, name.data(), name.size());
    made.text_[name.size()] = '\0';
  }
  return made;
}

const char* Name::c_str() const {
  // Longer than any path, so that the kernel says ENAMETOOLONG at the point where it would for the name itself.
  static const std::string too_long(PATH_MAX + 1, 'x');
  return too_long_ ? too_long.c_str() : text_;
}

}  // namespace lisafs
