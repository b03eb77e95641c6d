#ifndef LISAFS_GOFER_NAME_H_
#define LISAFS_GOFER_NAME_H_

#include <limits.h>
#include <string.h>

#include <string_view>

#include "base/result.h"

namespace lisafs {

// One component of a path, checked and NUL-terminated: never a way out of the directory it is used in. It is as good as
// any to the kernel, which decides about everything else.
class Name {
 public:
  // EINVAL: empty, ".", "..", or with a '/' or a NUL in it.
  static Result<Name> Make(std::string_view name);

  Name(const Name&) = delete;
  Name& operator=(const Name&) = delete;
  Name(Name&& other) noexcept { *this = std::move(other); }
  Name& operator=(Name&& other) noexcept {
    view_ = other.view_;
    too_long_ = other.too_long_;
    memcpy(text_, other.text_, sizeof text_);
    return *this;
  }

  // What was given; valid as long as that.
  std::string_view view() const { return view_; }
  const char* c_str() const;

 private:
  Name() = default;

  std::string_view view_;
  bool too_long_ = false;
  char text_[NAME_MAX + 1];
};

}  // namespace lisafs

#endif  // LISAFS_GOFER_NAME_H_
