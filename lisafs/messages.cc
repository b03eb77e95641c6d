#include "lisafs/messages.h"

namespace lisafs {

std::string_view MessageName(Mid mid) {
  switch (mid) {
#define X(number, name, request, response, fds, purpose) \
  case Mid::k##name:                                     \
    return #name;
    LISAFS_MESSAGES(X)
#undef X
  }
  return "";
}

}  // namespace lisafs
