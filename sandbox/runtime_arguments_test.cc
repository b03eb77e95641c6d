#include "sandbox/runtime_arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lisafs {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

tl::expected<RuntimeArguments, std::string> Parse(std::vector<const char*> argv) {
  argv.insert(argv.begin(), "lisafs-runtime");
  return ParseRuntimeArguments(argv);
}

TEST(RuntimeArguments, FindsTheContainerInEveryEnginesCommandLine) {
  struct Case {
    const char* who;
    std::vector<const char*> argv;
    const char* command;
    const char* id;
    const char* bundle;
  };
  const Case cases[] = {
      {"by hand", {"run", "box"}, "run", "box", "."},
      {"podman",
       {"create", "--bundle", "/b", "--pid-file", "/p", "--console-socket", "/c", "0123"},
       "create",
       "0123",
       "/b"},
      {"podman with flags",
       {"--log-format=json", "--log", "/l", "--cgroup-manager", "systemd", "create", "-b", "/b", "id"},
       "create",
       "id",
       "/b"},
      {"containerd",
       {"--root", "/run/runc/k8s.io", "--log", "/b/log.json", "--log-format", "json", "--systemd-cgroup", "create",
        "--bundle", "/b", "--pid-file", "/b/init.pid", "id"},
       "create",
       "id",
       "/b"},
      {"one dash", {"-root=/r", "-log", "/l", "create", "-bundle", "/b", "id"}, "create", "id", "/b"},
      {"flags behind the id", {"run", "id", "--bundle=/b", "--detach"}, "run", "id", "/b"},
      {"attached short value", {"run", "-b/b", "id"}, "run", "id", "/b"},
      {"preserved descriptors", {"run", "--preserve-fds", "3", "-d", "id"}, "run", "id", "."},
      {"end of flags", {"create", "--", "-id"}, "create", "-id", "."},
      {"unknown flag with a value", {"create", "--new", "7", "id"}, "create", "id", "."},
      {"a value that looks like a command",
       {"--root", "run", "create", "--bundle", "delete", "id"},
       "create",
       "id",
       "delete"},
      {"delete", {"--root", "/r", "delete", "--force", "id"}, "delete", "id", "."},
      {"delete -f", {"delete", "-f", "id"}, "delete", "id", "."},
      {"help of a command", {"create", "--help", "id"}, "create", "", "."},
      {"no id", {"create"}, "create", "", "."},
      {"value missing", {"create", "--bundle"}, "create", "", "."},
      {"nothing", {}, "", "", "."},
      {"another command", {"exec", "--process", "/p", "id"}, "exec", "", "."},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.who);
    auto parsed = Parse(c.argv);
    ASSERT_TRUE(parsed) << parsed.error();
    EXPECT_EQ(parsed->command, c.command);
    EXPECT_EQ(parsed->id, c.id);
    EXPECT_EQ(parsed->bundle, c.bundle);
    EXPECT_EQ(parsed->passed.size(), c.argv.size() + 1) << "nothing of ours was in it, so everything goes on";
  }
}

TEST(RuntimeArguments, KeepsOnlyItsOwnFlagsToItself) {
  auto parsed =
      Parse({"--runtime", "/usr/bin/crun", "--debug", "--lisafsd=/s", "--root", "/r", "run", "--runtime", "x", "id"});
  ASSERT_TRUE(parsed) << parsed.error();
  EXPECT_EQ(parsed->runtime, "/usr/bin/crun");
  EXPECT_EQ(parsed->socket, "/s");
  EXPECT_THAT(parsed->passed, ElementsAre("lisafs-runtime", "--debug", "--root", "/r", "run", "--runtime", "x", "id"));
  EXPECT_EQ(parsed->globals, 4u);
}

TEST(RuntimeArguments, KnowsTheLog) {
  auto parsed = Parse({"--log", "/l", "--log-format=json", "state", "id"});
  ASSERT_TRUE(parsed) << parsed.error();
  EXPECT_EQ(parsed->log, "/l");
  EXPECT_EQ(parsed->log_format, "json");
}

TEST(RuntimeArguments, HelpAndVersionCountBeforeTheCommand) {
  EXPECT_TRUE(Parse({"--help"})->help);
  EXPECT_TRUE(Parse({"-h"})->help);
  EXPECT_TRUE(Parse({"--version"})->version);
  EXPECT_TRUE(Parse({"-v"})->version);
  EXPECT_FALSE(Parse({"exec", "id", "sh", "--version"})->version);
}

TEST(RuntimeArguments, CrunsConfigFile) { EXPECT_EQ(Parse({"run", "-f", "c.json", "id"})->config_file, "c.json"); }

TEST(RuntimeArguments, RefusesWhatWouldHideACommand) {
  auto hidden = Parse({"--new-flag", "value", "create", "id"});
  ASSERT_FALSE(hidden);
  EXPECT_THAT(hidden.error(), HasSubstr("--new-flag"));
  EXPECT_TRUE(Parse({"--new-flag=value", "create", "id"}));
  EXPECT_TRUE(Parse({"--new-switch", "create", "id"}));
  EXPECT_TRUE(Parse({"--new-switch", "state", "id"}));
}

TEST(RuntimeArguments, RefusesItsOwnFlagsWithoutAValue) {
  for (const char* flag : {"--runtime", "--runtime=", "--lisafsd", "--lisafsd="}) {
    auto parsed = Parse({flag});
    ASSERT_FALSE(parsed) << flag;
    EXPECT_THAT(parsed.error(), HasSubstr("needs a value"));
  }
  EXPECT_FALSE(ParseRuntimeArguments({}));
}

}  // namespace
}  // namespace lisafs
