#include "base/result.h"

#include <string.h>

namespace lisafs {

std::string Errno::ToString() const {
  const char* name = strerrorname_np(value_);
  if (name == nullptr) return "errno " + std::to_string(value_);
  return std::string(name) + ": " + strerrordesc_np(value_);
}

}  // namespace lisafs
