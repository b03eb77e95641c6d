// Thousands of random system calls in a container give what they give on the host's file system itself.

#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>

#include "tests/containers/host.h"

namespace lisafs::tests {
namespace {

using std::chrono::minutes;

class Exercise : public Host {
 protected:
  // Names, types, modes, links, owners, targets and contents below a directory, as the host sees them.
  static std::string Tree(const std::string& path) {
    Ran ran = RunProgram(
        {"sh", "-c", "find . -printf '%P %y %m %n %U:%G %l\\n' | sort; find . -type f -exec sha256sum {} + | sort"},
        {.directory = path});
    EXPECT_TRUE(ran.ok()) << ran;
    return ran.out;
  }

  // Where two outputs part, with what came before; empty if they do not.
  static std::string Difference(const std::string& expected, const std::string& got) {
    std::istringstream one(expected), two(got);
    std::vector<std::string> before;
    std::string line, other;
    while (true) {
      bool more = static_cast<bool>(std::getline(one, line)), other_more = static_cast<bool>(std::getline(two, other));
      if (!more && !other_more) return "";
      if (more != other_more || line != other) break;
      before.push_back(line);
    }
    std::string text;
    for (size_t i = before.size() > 25 ? before.size() - 25 : 0; i < before.size(); i++) text += before[i] + "\n";
    return text + "host:      " + line + "\ncontainer: " + other + "\n";
  }
};

TEST_F(Exercise, GivesWhatTheHostsFileSystemGives) {
  const std::string program = DataFile("tests/containers/exerciser");
  Bundle bundle = BusyboxBundle("bundle");
  std::filesystem::copy_file(program, bundle.rootfs() + "/bin/exerciser");
  bundle.SetScript("sleep 1000");
  Container container(*this, bundle, Id("exercise"));
  const int seeds = getenv("LISAFS_TEST_LONG") != nullptr ? 300 : 10;
  for (int seed = 1; seed <= seeds; seed++) {
    std::string directory = "work" + std::to_string(seed), arguments = std::to_string(seed) + " 3000 ";
    MakeDirectory(Path(directory), 0777);
    Ran host = RunProgram({program, std::to_string(seed), "3000", Path(directory)});
    ASSERT_TRUE(host.ok()) << host;
    MakeDirectory(bundle.rootfs() + "/" + directory, 0777);
    Ran inside = container.Exec("exerciser " + arguments + "/" + directory, {.timeout = minutes(1)});
    ASSERT_TRUE(inside.ok()) << inside.err;
    std::string difference = Difference(host.out, inside.out);
    ASSERT_EQ(difference, "") << "seed " << seed;
    // And the host sees the tree that the container left.
    EXPECT_EQ(Tree(bundle.rootfs() + "/" + directory), Tree(Path(directory)));
  }
}

// Several at once, each in a directory of its own.
TEST_F(Exercise, GivesTheSameInParallel) {
  const std::string program = DataFile("tests/containers/exerciser");
  Bundle bundle = BusyboxBundle("bundle");
  std::filesystem::copy_file(program, bundle.rootfs() + "/bin/exerciser");
  std::string script;
  for (int seed = 100; seed < 108; seed++) {
    std::string name = "work" + std::to_string(seed);
    MakeDirectory(Path(name), 0777);
    MakeDirectory(bundle.rootfs() + "/" + name, 0777);
    script += "exerciser " + std::to_string(seed) + " 3000 /" + name + " > /" + name + ".out & ";
  }
  bundle.SetScript(script + "wait");
  Ran ran = RunContainer(bundle, Id("parallel"), {.timeout = minutes(2)});
  ASSERT_TRUE(ran.ok()) << ran;
  for (int seed = 100; seed < 108; seed++) {
    std::string name = "work" + std::to_string(seed);
    Ran host = RunProgram({program, std::to_string(seed), "3000", Path(name)});
    std::string inside = ReadFile(bundle.rootfs() + "/" + name + ".out").value_or("");
    EXPECT_EQ(Difference(host.out, inside), "") << "seed " << seed;
  }
}

// Some make a file that others remove at the same time: an open that may create finds or makes one.
TEST_F(Exercise, CreationNeverFindsNothing) {
  Bundle bundle = BusyboxBundle("bundle");
  std::filesystem::copy_file(DataFile("tests/containers/probe"), bundle.rootfs() + "/bin/probe");
  bundle.SetScript("for i in 1 2 3 4; do probe create /tmp/file 500 & done; wait");
  Ran ran = RunContainer(bundle, Id("create"));
  EXPECT_TRUE(ran.ok()) << ran;
  EXPECT_EQ(ran.out, "");
}

}  // namespace
}  // namespace lisafs::tests
