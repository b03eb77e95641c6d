// conformance: runs the suite against a server of somebody else's, on a connection that it inherits.

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <iostream>

#include "tests/conformance/suite.h"

namespace lisafs::conformance {
namespace {

int Main(int argc, char** argv) {
  CLI::App app(
      "Holds a LISAFS server to the protocol: a line for each case on stdout, and each row that is not as it has to "
      "be.\n"
      "Status 0 if all are, 1 if not. The server's connection is to be fresh, and the directory it serves writable "
      "for\n"
      "this program.",
      "conformance");
  int socket = -1;
  std::string directory, expect, only;
  Serving serving;
  bool list = false;
  app.add_option("--socket", socket, "the connected unix stream socket, inherited")->type_name("FD");
  app.add_option("--directory", directory, "the directory that the server serves")->type_name("DIR");
  app.add_option("--expect", expect, "rows in which this server is known to differ: CASE / ROW => OUTCOME")
      ->type_name("FILE");
  app.add_option("--case", only, "this case alone; without it, all that leave the connection in order")
      ->type_name("NAME");
  app.add_flag("--read-only", serving.read_only, "the server was told to serve read-only");
  app.add_flag("--sockets", serving.sockets, "it was told to allow connecting to host sockets, and binding them");
  app.add_flag("--fifos", serving.fifos, "it was told to allow opening host FIFOs");
  app.add_flag("--list", list, "only print the cases' names");
  CLI11_PARSE(app, argc, argv);

  if (list) {
    for (const Case& test_case : AllCases()) {
      std::cout << test_case.name << (test_case.own_connection ? " (wants a connection of its own)" : "") << "\n";
    }
    return 0;
  }
  if (socket < 0 || directory.empty()) {
    std::cerr << "conformance: usage: --socket and --directory are needed\n";
    return 2;
  }

  Expectations expectations;
  if (!expect.empty()) {
    std::ifstream file(expect);
    std::ostringstream text;
    text << file.rdbuf();
    std::vector<std::string> errors;
    expectations = Expectations::Parse(text.str(), errors);
    if (!file) errors.push_back("cannot be read");
    for (const std::string& error : errors) std::cerr << "conformance: " << expect << ": " << error << "\n";
    if (!errors.empty()) return 2;
  }

  umask(0);
  Session session(Fd(socket), directory, serving, expectations);
  int failed = 0, passed = 0;
  for (const Case& test_case : AllCases()) {
    if (!test_case.RunsOn(serving) || (only.empty() ? test_case.own_connection : test_case.name != only)) continue;
    for (bool over_channel : {false, true}) {
      if (test_case.over != Case::Over::kBoth && over_channel != (test_case.over == Case::Over::kChannel)) continue;
      auto ran = session.Run(test_case, over_channel);
      if (!ran) {
        std::cout << "left out: " << test_case.name << ": the server does not announce " << MessageName(test_case.needs)
                  << "\n";
        break;
      }
      const std::vector<Failure>& failures = *ran;
      std::cout << (failures.empty() ? "passed: " : "FAILED: ") << test_case.name
                << (over_channel ? " over a channel\n" : " over the socket\n");
      for (const Failure& failure : failures) {
        std::cout << "  " << failure.row << ": wanted " << failure.wanted << ", got " << failure.got << "\n";
      }
      ++(failures.empty() ? passed : failed);
      if (test_case.own_connection) break;
    }
  }
  std::cout << passed << " passed, " << failed << " failed\n";
  return failed == 0 && passed > 0 ? 0 : 1;
}

}  // namespace
}  // namespace lisafs::conformance

int main(int argc, char** argv) { return lisafs::conformance::Main(argc, argv); }
