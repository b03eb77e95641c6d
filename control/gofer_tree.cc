#include "control/gofer_tree.h"

#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace lisafs {

absl::StatusOr<std::string> GoferTreePath(pid_t gofer, size_t mount) {
  const std::string directory = absl::StrCat("/proc/", gofer);
  std::ifstream arguments(directory + "/cmdline");
  for (std::string argument; std::getline(arguments, argument, '\0');) {
    if (argument != "--mount" || mount-- > 0) continue;
    // CONN:TREE[:OPTION...]
    std::string connection, tree;
    int number;
    std::getline(arguments, connection, ':');
    std::getline(arguments, tree, '\0');
    if (!absl::SimpleAtoi(tree.substr(0, tree.find(':')), &number) || number < 0) break;
    return absl::StrCat(directory, "/fd/", number);
  }
  return absl::FailedPreconditionError(absl::StrCat("process ", gofer, ": serves no such mount"));
}

}  // namespace lisafs
