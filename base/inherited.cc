#include "base/inherited.h"

#include <fcntl.h>

#include <charconv>

#include "base/escape.h"
#include "base/program.h"

namespace lisafs {

tl::expected<Fd, std::string> TakeInherited(std::string_view number) {
  int fd = -1;
  auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), fd);
  if (error != std::errc() || end != number.data() + number.size() || fd < 0) {
    return tl::unexpected("\"" + Escape(number) + "\" is not a descriptor's number");
  }
  const int flags = fcntl(fd, F_GETFD);
  if (flags < 0) return tl::unexpected("descriptor " + std::to_string(fd) + " is not open");
  // What is inherited does not have the flag, so this was taken already.
  if (flags & FD_CLOEXEC) return tl::unexpected("descriptor " + std::to_string(fd) + " is named twice");
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  return Fd(fd);
}

Fd TakeInheritedOrExit(std::string_view number, std::string_view argument) {
  auto taken = TakeInherited(number);
  if (!taken) DieOfUsage(argument, taken.error());
  return *std::move(taken);
}

}  // namespace lisafs
