// unconfined_gofer --serve FD=DIR[:OPTION…]: lisafs-gofer's handlers in a process that is not confined, for a build
// with sanitizers, whose run-time libraries make system calls that lisafs-gofer's filter kills for.

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <string>

#include "gofer/file.h"
#include "gofer/handlers.h"
#include "gofer/self_fds.h"
#include "lisafs/connection.h"
#include "lisafs/server.h"

namespace lisafs {
namespace {

int Main(int argc, char** argv) {
  const std::string argument = argc == 3 ? argv[2] : "";
  const size_t equals = argument.find('='), colon = argument.find(':');
  const std::string options = colon == argument.npos ? "" : argument.substr(colon) + ":";
  auto has = [&](const char* option) { return options.find(":" + std::string(option) + ":") != options.npos; };
  const std::string directory = equals == argument.npos ? "" : argument.substr(equals + 1, colon - equals - 1);
  Fd root(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) {
    fprintf(stderr, "usage: unconfined_gofer --serve FD=DIR[:OPTION...]\n");
    return 2;
  }
  umask(0);
  auto self = SelfFds::Make(Fd(open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC)));
  if (!self) return 1;
  Server server;
  ServeHostFiles(server.handlers);
  HostMount mount(server, *self, std::move(root),
                  {.open_sockets = has("uds-open"), .create_sockets = has("uds-create"), .open_fifos = has("fifo")});
  Connection connection(server, mount, Fd(atoi(argument.c_str())), {.read_only = has("ro")});
  connection.Serve();
  return 0;
}

}  // namespace
}  // namespace lisafs

int main(int argc, char** argv) { return lisafs::Main(argc, argv); }
