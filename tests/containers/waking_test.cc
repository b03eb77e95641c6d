// Those who watch files in a container are told what is done to them on the host.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <iostream>
#include <sstream>

#include "tests/containers/host.h"

namespace lisafs::tests {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// Generous, for a busy machine; what it took is printed.
constexpr auto kPatience = seconds(60);

struct Event {
  int64_t time = 0;  // Monotonic, in microseconds.
  int path = 0;
  std::string what;
  unsigned cookie = 0;
  std::string name;
  // "0 create f"
  std::string ToString() const { return std::to_string(path) + " " + what + " " + name; }
};

int64_t Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000LL + now.tv_nsec / 1000;
}

// inotify on paths in a container.
class Watching {
 public:
  Watching(const Host& host, const Container& container, const std::vector<std::string>& paths)
      : process_(host.RuntimeCommand(Command(container, paths)), RunOptions{}) {
    EXPECT_TRUE(Eventually(seconds(10), [&] { return process_.out().starts_with("watching\n"); }))
        << process_.out() << process_.err();
  }
  ~Watching() { process_.Signal(SIGKILL); }

  std::vector<Event> All() const {
    std::vector<Event> events;
    std::istringstream lines(process_.out());
    std::string line;
    std::getline(lines, line);
    while (std::getline(lines, line)) {
      Event event;
      std::istringstream(line) >> event.time >> event.path >> event.what >> event.cookie >> event.name;
      events.push_back(event);
    }
    return events;
  }
  std::vector<std::string> Texts() const {
    std::vector<std::string> texts;
    for (const Event& event : All()) texts.push_back(event.ToString());
    return texts;
  }
  // Does it, and waits until there is such an event, which it gives.
  Event After(const std::function<void()>& act, const std::string& expected) {
    const size_t before = All().size();
    const int64_t start = Now();
    act();
    Event found;
    EXPECT_TRUE(Eventually(kPatience,
                           [&] {
                             const std::vector<Event> events = All();
                             auto event = std::find_if(events.begin() + static_cast<ptrdiff_t>(before), events.end(),
                                                       [&](const Event& one) { return one.ToString() == expected; });
                             if (event == events.end()) return false;
                             found = *event;
                             return true;
                           }))
        << expected << " did not come, but " << testing::PrintToString(Texts());
    const int64_t took = found.time - start;
    longest_ = std::max(longest_, took);
    std::cout << expected << ": " << took << " us\n";
    return found;
  }
  // Nothing new comes for a while.
  void ExpectQuiet() {
    const size_t before = All().size();
    usleep(300'000);
    const std::vector<std::string> now = Texts();
    EXPECT_EQ(now.size(), before) << testing::PrintToString(std::vector(now.begin() + before, now.end()));
  }
  int64_t longest() const { return longest_; }

 private:
  static std::vector<std::string> Command(const Container& container, const std::vector<std::string>& paths) {
    std::vector<std::string> command = {"exec", container.id(), "/bin/probe", "watch"};
    command.insert(command.end(), paths.begin(), paths.end());
    return command;
  }
  Process process_;
  int64_t longest_ = 0;
};

class Waking : public Host {
 protected:
  // With Path("data") on /data and the file Path("config") on /config.
  Bundle MakeBundle(const std::vector<std::string>& options = {}) {
    for (const char* directory : {"data", "data/d", "data/sub", "outside"}) MakeDirectory(Path(directory));
    for (const char* file : {"data/f", "data/d/g", "config", "outside/o"}) WriteFile(Path(file), "content");
    Bundle bundle = BusyboxBundle("bundle");
    std::filesystem::copy_file(DataFile("tests/containers/probe"), bundle.rootfs() + "/bin/probe");
    bundle.AddBind(Path("data"), "/data", options);
    bundle.AddBind(Path("config"), "/config", options);
    bundle.SetScript("sleep 1000");
    return bundle;
  }
  static bool IsRunning(const std::string& name) {
    for (const Descendant& process : Descendants()) {
      if (process.name == name) return true;
    }
    return false;
  }
  void WaitForWaker() {
    ASSERT_TRUE(Eventually(seconds(10), [] { return IsRunning("lisafs-waker"); }));
    // It may still have to say who it is.
    usleep(300'000);
  }
  // Names, types, sizes and times of all that is there.
  std::string Listing() {
    std::ostringstream text;
    std::vector<std::string> lines;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(Path("data"))) {
      struct stat stat;
      EXPECT_EQ(lstat(entry.path().c_str(), &stat), 0);
      std::ostringstream line;
      line << entry.path() << " " << stat.st_mode << " " << stat.st_size << " " << stat.st_mtim.tv_sec << "."
           << stat.st_mtim.tv_nsec << " " << stat.st_ctim.tv_sec << "." << stat.st_ctim.tv_nsec << " " << stat.st_nlink;
      lines.push_back(line.str());
    }
    std::sort(lines.begin(), lines.end());
    for (const std::string& line : lines) text << line << "\n";
    return text.str();
  }
};

TEST_F(Waking, OfWhatIsDoneInADirectory) {
  Container container(*this, MakeBundle(), Id("directory"));
  ASSERT_NO_FATAL_FAILURE(WaitForWaker());
  Watching watching(*this, container, {"/data", "/data/d", "/data/f"});

  watching.After([&] { WriteFile(Path("data/new"), "text"); }, "0 create new");
  EXPECT_EQ(container.Exec("cat /data/new").out, "text");
  watching.After([&] { WriteFile(Path("data/new"), "other text"); }, "0 modify new");
  EXPECT_EQ(container.Exec("cat /data/new").out, "other text");
  watching.After([&] { WriteFile(Path("data/new"), "third text"); }, "0 close-write new");
  EXPECT_EQ(container.Exec("cat /data/new").out, "third text");
  watching.After([&] { EXPECT_EQ(chmod(Path("data/new").c_str(), 0640), 0); }, "0 attrib new");
  EXPECT_EQ(container.Exec("stat -c %a /data/new").out, "640\n");
  watching.After([&] { MakeDirectory(Path("data/made")); }, "0 create,dir made");
  EXPECT_EQ(container.Exec("stat -c %F /data/made").out, "directory\n");
  watching.After([&] { EXPECT_EQ(symlink("f", Path("data/link").c_str()), 0); }, "0 create link");
  EXPECT_EQ(container.Exec("readlink /data/link").out, "f\n");
  watching.After([&] { EXPECT_EQ(unlink(Path("data/new").c_str()), 0); }, "0 delete new");
  EXPECT_EQ(container.Exec("test -e /data/new || echo gone").out, "gone\n");
  watching.After([&] { EXPECT_EQ(rmdir(Path("data/made").c_str()), 0); }, "0 delete,dir made");
  watching.After([&] { EXPECT_EQ(unlink(Path("data/link").c_str()), 0); }, "0 delete link");
  EXPECT_EQ(container.Exec("ls -A /data").out, "d\nf\nsub\n");
  // What the container did not know.
  watching.After([&] { WriteFile(Path("data/d/unseen"), ""); }, "1 create unseen");
  watching.After([&] { EXPECT_EQ(unlink(Path("data/d/unseen").c_str()), 0); }, "1 delete unseen");
  std::cout << "longest: " << watching.longest() << " us\n";
  EXPECT_LT(watching.longest(), 1'000'000);
}

TEST_F(Waking, OfNamesThatChange) {
  Container container(*this, MakeBundle(), Id("names"));
  ASSERT_NO_FATAL_FAILURE(WaitForWaker());
  Watching watching(*this, container, {"/data", "/data/d", "/data/f", "/data/d/g"});
  auto move = [&](const std::string& from, const std::string& to) {
    return [this, from, to] { EXPECT_EQ(rename(Path(from).c_str(), Path(to).c_str()), 0); };
  };
  // Within a directory, a file that is watched itself.
  Event to = watching.After(move("data/f", "data/f2"), "0 moved-to f2");
  EXPECT_THAT(watching.Texts(), Contains("0 moved-from f"));
  EXPECT_THAT(watching.Texts(), Contains("2 move-self -"));
  for (const Event& event : watching.All()) {
    EXPECT_TRUE(event.what != "moved-from" || event.cookie == to.cookie);
  }
  EXPECT_EQ(container.Exec("cat /data/f2; test -e /data/f || echo gone").out, "contentgone\n");
  watching.After([&] { WriteFile(Path("data/f2"), "changed"); }, "2 modify -");
  EXPECT_EQ(container.Exec("cat /data/f2").out, "changed");
  // To another directory, in the place of a file that is watched.
  watching.After(move("data/f2", "data/d/g"), "1 moved-to g");
  EXPECT_THAT(watching.Texts(), Contains("0 moved-from f2"));
  EXPECT_TRUE(Eventually(kPatience, [&] {
    const auto texts = watching.Texts();
    return std::find(texts.begin(), texts.end(), "3 delete-self -") != texts.end();
  })) << testing::PrintToString(watching.Texts());
  EXPECT_EQ(container.Exec("cat /data/d/g; ls /data/d").out, "changedg\n");
  // In and out.
  watching.After(move("outside/o", "data/o"), "0 moved-to o");
  EXPECT_EQ(container.Exec("cat /data/o").out, "content");
  watching.After(move("data/o", "outside/o"), "0 moved-from o");
  EXPECT_EQ(container.Exec("ls -A /data").out, "d\nsub\n");
  // A directory, and what happens in it then.
  watching.After(move("data/d", "data/e"), "0 moved-to,dir e");
  EXPECT_EQ(container.Exec("cat /data/e/g").out, "changed");
  watching.After([&] { WriteFile(Path("data/e/new"), ""); }, "1 create new");
  watching.After(move("data/e", "outside/e"), "0 moved-from,dir e");
  watching.After(move("outside/e", "data/e"), "0 moved-to,dir e");
  EXPECT_EQ(container.Exec("ls -A /data /data/e").out, "/data:\ne\nsub\n\n/data/e:\ng\nnew\n");
  std::cout << "longest: " << watching.longest() << " us\n";
}

// Of files that the container has found, and has not.
TEST_F(Waking, OfFilesThatAreClosed) {
  Container container(*this, MakeBundle(), Id("closed"));
  ASSERT_NO_FATAL_FAILURE(WaitForWaker());
  Watching watching(*this, container, {"/data", "/data/d", "/data/f"});
  auto write = [&](const std::string& file) { return [this, file] { WriteFile(Path(file), "text"); }; };
  watching.After(write("data/f"), "2 close-write -");
  EXPECT_THAT(watching.Texts(), Contains("0 close-write f"));
  watching.After(write("data/d/g"), "1 close-write g");
  watching.After(write("data/new"), "0 close-write new");
  EXPECT_EQ(container.Exec("cat /data/f /data/d/g /data/new").out, "texttexttext");
  // Without being written to, and not before it is closed.
  Fd open_file(open(Path("data/d/g").c_str(), O_WRONLY | O_CLOEXEC));
  watching.ExpectQuiet();
  watching.After([&] { open_file.reset(); }, "1 close-write g");
  // A FIFO has a reader who would see it.
  ASSERT_EQ(mkfifo(Path("data/fifo").c_str(), 0600), 0);
  Process reader(RuntimeCommand({"exec", container.id(), "sh", "-c", "cat /data/fifo; echo end"}), RunOptions{});
  usleep(300'000);
  open_file.reset(open(Path("data/fifo").c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  ASSERT_EQ(::write(open_file.get(), "x", 1), 1);
  open_file.reset();
  usleep(300'000);
  EXPECT_EQ(reader.out(), "");
  reader.Signal(SIGKILL);
  std::cout << "longest: " << watching.longest() << " us\n";
}

// A file that is executed must not be open for writing meanwhile, nor the other way round.
TEST_F(Waking, ProgramsRunWhileTheyAreClosed) {
  Container container(*this, MakeBundle(), Id("programs"));
  ASSERT_NO_FATAL_FAILURE(WaitForWaker());
  WriteFile(Path("data/program"), "#!/bin/sh\nexit 0\n");
  ASSERT_EQ(chmod(Path("data/program").c_str(), 0755), 0);
  Watching watching(*this, container, {"/data"});
  watching.After([&] { Fd(open(Path("data/program").c_str(), O_WRONLY | O_CLOEXEC)); }, "0 close-write program");
  Process runs(
      RuntimeCommand({"exec", container.id(), "sh", "-c",
                      "i=0; while [ $i -lt 1000 ]; do /data/program || echo failed; i=$((i+1)); done; echo end"}),
      RunOptions{});
  size_t closed = 0;
  for (; runs.out().find("end") == std::string::npos && closed < 100'000; ++closed) {
    // Not the gofer's nor the container's: the host may execute it at the same time, and write to it between.
    Fd(open(Path("data/program").c_str(), O_WRONLY | O_CLOEXEC));
    usleep(1000);
  }
  EXPECT_EQ(runs.out(), "end\n");
  std::vector<std::string> texts = watching.Texts();
  std::cout << closed << " times closed, " << std::count(texts.begin(), texts.end(), "0 close-write program")
            << " times told\n";
}

TEST_F(Waking, OfOneFileAndOfReadOnlyMounts) {
  Container container(*this, MakeBundle({"ro"}), Id("file"));
  ASSERT_NO_FATAL_FAILURE(WaitForWaker());
  Watching watching(*this, container, {"/config", "/data", "/data/f"});
  watching.After([&] { WriteFile(Path("config"), "new"); }, "0 modify -");
  EXPECT_EQ(container.Exec("cat /config").out, "new");
  watching.After([&] { WriteFile(Path("config"), "newer"); }, "0 close-write -");
  EXPECT_EQ(container.Exec("cat /config").out, "newer");
  watching.After([&] { EXPECT_EQ(chmod(Path("config").c_str(), 0600), 0); }, "0 attrib -");
  watching.After([&] { WriteFile(Path("data/new"), ""); }, "1 create new");
  watching.After([&] { EXPECT_EQ(unlink(Path("data/f").c_str()), 0); }, "2 delete-self -");
  EXPECT_EQ(container.Exec("touch /data/x 2>/dev/null || ls -A /data").out, "d\nnew\nsub\n");
}

TEST_F(Waking, ChangesNothingOnTheHost) {
  Container container(*this, MakeBundle(), Id("nothing"));
  ASSERT_NO_FATAL_FAILURE(WaitForWaker());
  Watching watching(*this, container, {"/data", "/data/d"});
  WriteFile(Path("data/one"), "1");
  MakeDirectory(Path("data/two"));
  WriteFile(Path("data/f"), "2");
  EXPECT_EQ(chmod(Path("data/d/g").c_str(), 0600), 0);
  EXPECT_EQ(rename(Path("data/d/g").c_str(), Path("data/g").c_str()), 0);
  const std::string before = Listing();
  watching.After([&] { EXPECT_EQ(rename(Path("outside/o").c_str(), Path("data/d/o").c_str()), 0); }, "1 moved-to o");
  EXPECT_EQ(rename(Path("data/d/o").c_str(), Path("outside/o").c_str()), 0);
  WriteFile(Path("data/d/last"), "");
  watching.After([&] { EXPECT_EQ(unlink(Path("data/d/last").c_str()), 0); }, "1 delete last");
  // Directories' times aside.
  auto without_directories = [](std::string text) {
    std::string kept;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      if (line.find("/d\" ") == line.npos) kept += line + "\n";
    }
    return kept;
  };
  EXPECT_EQ(without_directories(Listing()), without_directories(before));
  EXPECT_EQ(container.Exec("ls -A /data; cat /data/one /data/f").out, "d\nf\ng\none\nsub\ntwo\n12");
}

// What the container does itself is told once, by its own kernel.
TEST_F(Waking, TheContainersOwnChangesAreNotRepeated) {
  Container container(*this, MakeBundle(), Id("own"));
  ASSERT_NO_FATAL_FAILURE(WaitForWaker());
  Watching watching(*this, container, {"/data"});
  ASSERT_TRUE(
      container.Exec("cd /data; echo a > own; echo b >> own; chmod 600 own; mv own moved; echo c >> moved; rm moved")
          .ok());
  EXPECT_TRUE(Eventually(kPatience, [&] { return watching.Texts().size() > 8; }));
  watching.ExpectQuiet();
  const std::vector<std::string> texts = watching.Texts();
  EXPECT_EQ(std::count(texts.begin(), texts.end(), "0 create own"), 1);
  EXPECT_EQ(std::count(texts.begin(), texts.end(), "0 modify own"), 2) << testing::PrintToString(texts);
  EXPECT_EQ(std::count(texts.begin(), texts.end(), "0 close-write own"), 2) << testing::PrintToString(texts);
  EXPECT_EQ(std::count(texts.begin(), texts.end(), "0 attrib own"), 1);
  EXPECT_EQ(std::count(texts.begin(), texts.end(), "0 moved-to moved"), 1);
  EXPECT_EQ(std::count(texts.begin(), texts.end(), "0 delete moved"), 1);
}

// Small and large: the latter the kernel passes through.
TEST_F(Waking, OfFilesThatTheContainerHasOpenForWriting) {
  const Bundle bundle = MakeBundle();
  WriteFile(Path("data/large"), std::string(1 << 20, 'x'));
  Container container(*this, bundle, Id("open"));
  ASSERT_NO_FATAL_FAILURE(WaitForWaker());
  Watching watching(*this, container, {"/data"});
  Process writer(RuntimeCommand({"exec", container.id(), "sh", "-c",
                                 "mkfifo /go; exec 3>>/data/f 4<>/data/large 5<>/go; echo a >&3; echo a >&4; "
                                 "while read x <&5; do echo b >&3; echo b >&4; done"}),
                 RunOptions{});
  auto append = [&](const char* name) {
    const Fd file(open(Path(name).c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    EXPECT_EQ(::write(file.get(), "host", 4), 4);
  };
  EXPECT_TRUE(Eventually(kPatience, [&] {
    const auto texts = watching.Texts();
    return std::count(texts.begin(), texts.end(), "0 modify large") == 1;
  })) << testing::PrintToString(watching.Texts());
  watching.ExpectQuiet();
  // Right after the container has written as well.
  watching.After([&] { append("data/f"); }, "0 modify f");
  watching.After([&] { append("data/f"); }, "0 close-write f");
  watching.After([&] { append("data/large"); }, "0 modify large");
  watching.After([&] { EXPECT_EQ(chmod(Path("data/f").c_str(), 0600), 0); }, "0 attrib f");
  EXPECT_EQ(container.Exec("cat /data/f; tail -c 4 /data/large").out, "contenta\nhosthosthost");
  // What it writes itself is told once.
  for (int i = 0; i < 5; ++i) {
    const std::vector<std::string> before = watching.Texts();
    EXPECT_TRUE(container.Exec("echo x > /go").ok());
    usleep(100'000);
    const std::vector<std::string> texts = watching.Texts();
    EXPECT_THAT(std::vector(texts.begin() + static_cast<ptrdiff_t>(before.size()), texts.end()),
                ElementsAre("0 modify f", "0 modify large"));
  }
}

// What is written by way of one of them is news for the other.
TEST_F(Waking, OfTwoMountsOfOneDirectory) {
  Bundle bundle = MakeBundle();
  bundle.AddBind(Path("data"), "/again");
  bundle.AddBind(Path("data/d"), "/below");
  Container container(*this, bundle, Id("two"));
  ASSERT_NO_FATAL_FAILURE(WaitForWaker());
  Watching watching(*this, container, {"/again", "/below"});
  watching.After([&] { container.Exec("echo a > /data/f"); }, "0 modify f");
  watching.After([&] { container.Exec("echo a > /data/d/g"); }, "1 modify g");
  watching.After([&] { container.Exec("echo a > /data/new"); }, "0 create new");
  watching.After([&] { container.Exec("echo a > /data/f"); }, "0 close-write f");
}

// Of what another container does, which closes files by way of its own plugin and gofer.
TEST_F(Waking, OfWhatAnotherContainerDoes) {
  const Bundle bundle = MakeBundle();
  WriteFile(Path("data/large"), std::string(1 << 20, 'x'));
  Container container(*this, bundle, Id("one")), other(*this, bundle, Id("other"));
  ASSERT_NO_FATAL_FAILURE(WaitForWaker());
  Watching watching(*this, container, {"/data"});
  watching.After([&] { other.Exec("echo a > /data/f"); }, "0 close-write f");
  watching.After([&] { other.Exec("echo a > /data/new"); }, "0 close-write new");
  watching.After([&] { other.Exec("echo a >> /data/large"); }, "0 close-write large");
  watching.After([&] { other.Exec("mv /data/new /data/newer"); }, "0 moved-to newer");
  EXPECT_EQ(container.Exec("cat /data/f /data/newer; tail -c 2 /data/large").out, "a\na\na\n");
}

TEST_F(Waking, AStormIsSurvived) {
  constexpr int kFiles = 10'000;
  Container container(*this, MakeBundle(), Id("storm"));
  ASSERT_NO_FATAL_FAILURE(WaitForWaker());
  Watching watching(*this, container, {"/data"});
  const int64_t start = Now();
  for (int i = 0; i < kFiles; ++i) WriteFile(Path("data/d" + std::to_string(i)), "");
  const int64_t made = Now();
  // What is done while others wait may be left out: until they do not.
  for (size_t before = 0, now = 1; before != now; now = watching.All().size()) {
    before = watching.All().size();
    usleep(500'000);
  }
  watching.After([&] { WriteFile(Path("data/last"), "last"); }, "0 create last");
  size_t told = 0;
  for (const Event& event : watching.All()) told += event.what == "create";
  std::cout << kFiles << " files in " << (made - start) / 1000 << " ms, " << told << " told\n";
  EXPECT_GT(told, 500u);
  EXPECT_EQ(container.Exec("ls /data | wc -l; cat /data/last").out, std::to_string(kFiles + 4) + "\nlast");
}

TEST_F(Waking, OfMountsThatCameLater) {
  Bundle bundle = MakeBundle();
  Container container(*this, bundle, Id("later"));
  ASSERT_NO_FATAL_FAILURE(WaitForWaker());
  auto wakers = [] {
    int count = 0;
    for (const Descendant& process : Descendants()) count += process.name == "lisafs-waker";
    return count;
  };
  Ran added = Control({"mount", "add", container.id(), Path("outside"), "/added", "--create"});
  ASSERT_TRUE(added.ok()) << added;
  ASSERT_TRUE(Eventually(seconds(10), [&] { return wakers() == 2; }));
  usleep(300'000);
  {
    Watching watching(*this, container, {"/added"});
    watching.After([&] { WriteFile(Path("outside/new"), "text"); }, "0 create new");
    EXPECT_EQ(container.Exec("cat /added/new").out, "text");
  }
  // It does not stand in the way.
  Ran removed;
  EXPECT_TRUE(Eventually(seconds(10), [&] {
    removed = Control({"mount", "remove", container.id(), "/added"});
    return removed.ok();
  })) << removed;
  EXPECT_TRUE(Eventually(kPatience, [&] { return wakers() == 1; }));
  Watching watching(*this, container, {"/data"});
  watching.After([&] { WriteFile(Path("data/new"), ""); }, "0 create new");
}

// Also those who watched before it was shared.
TEST_F(Waking, OfMountsThatBecomeShared) {
  Bundle bundle = MakeBundle();
  bundle.config()["annotations"] = {{"dev.lisafs.cache", "/data=exclusive,/config=shared"}};
  const std::string root = bundle.rootfs();
  MakeDirectory(root + "/watched");
  Container container(*this, bundle, Id("becomes"));
  ASSERT_NO_FATAL_FAILURE(WaitForWaker());
  Watching watching(*this, container, {"/data", "/data/d", "/watched"});
  WriteFile(Path("data/unseen"), "");
  watching.ExpectQuiet();
  auto set = [&](const char* target, const char* word) {
    Ran ran = Control({"mount", "set", container.id(), target, word});
    EXPECT_TRUE(ran.ok()) << ran;
  };
  set("/data", "cache=shared");
  set("/", "cache=shared");
  usleep(300'000);
  watching.After([&] { WriteFile(Path("data/new"), "text"); }, "0 create new");
  watching.After([&] { WriteFile(Path("data/d/g"), "text"); }, "1 close-write g");
  watching.After([&] { WriteFile(root + "/watched/new", "text"); }, "2 create new");
  EXPECT_EQ(container.Exec("cat /data/new /data/d/g /watched/new").out, "texttexttext");
  std::cout << "longest: " << watching.longest() << " us\n";
  EXPECT_LT(watching.longest(), 1'000'000);
  // And back, as often as one likes.
  set("/data", "cache=exclusive");
  set("/data", "cache=shared");
  usleep(300'000);
  watching.After([&] { EXPECT_EQ(unlink(Path("data/new").c_str()), 0); }, "0 delete new");
}

// A waker that is gone before its mount is shared leaves nobody with rights or without them.
TEST_F(Waking, MayEndBeforeAMountIsShared) {
  Bundle bundle = MakeBundle();
  bundle.config()["annotations"] = {{"dev.lisafs.cache", "/data=exclusive,/config=shared"}};
  Container container(*this, bundle, Id("gone"));
  ASSERT_NO_FATAL_FAILURE(WaitForWaker());
  for (const Descendant& process : Descendants()) {
    if (process.name == "lisafs-waker") kill(process.pid, SIGKILL);
  }
  EXPECT_TRUE(Eventually(kPatience, [] { return !IsRunning("lisafs-waker"); }));
  ASSERT_TRUE(Control({"mount", "set", container.id(), "/data", "cache=shared"}).ok());
  usleep(300'000);
  WriteFile(Path("data/new"), "text");
  EXPECT_EQ(container.Exec("echo b > /data/own; cat /data/own; sleep 1; cat /data/new").out, "b\ntext");
}

TEST_F(Waking, EndsWithTheContainer) {
  Container container(*this, MakeBundle(), Id("ends"));
  ASSERT_NO_FATAL_FAILURE(WaitForWaker());
  Watching watching(*this, container, {"/data"});
  // Its first process ends; nobody deletes it yet.
  kill(container.pid(), SIGKILL);
  EXPECT_TRUE(Eventually(kPatience, [] { return !IsRunning("lisafs-waker"); }));
  EXPECT_TRUE(Eventually(kPatience, [] { return !IsRunning("lisafs-plugin"); }));
}

TEST_F(Waking, EndsWithThePlugin) {
  Container container(*this, MakeBundle(), Id("plugin"));
  ASSERT_NO_FATAL_FAILURE(WaitForWaker());
  for (const Descendant& process : Descendants()) {
    if (process.name == "lisafs-plugin") kill(process.pid, SIGKILL);
  }
  EXPECT_TRUE(Eventually(kPatience, [] { return !IsRunning("lisafs-waker"); }));
}

// Without it the container goes on as it would.
TEST_F(Waking, MayEndByItself) {
  Container container(*this, MakeBundle(), Id("without"));
  ASSERT_NO_FATAL_FAILURE(WaitForWaker());
  Watching watching(*this, container, {"/data"});
  for (const Descendant& process : Descendants()) {
    if (process.name == "lisafs-waker") kill(process.pid, SIGKILL);
  }
  EXPECT_TRUE(Eventually(kPatience, [] { return !IsRunning("lisafs-waker"); }));
  WriteFile(Path("data/new"), "text");
  EXPECT_EQ(container.Exec("echo b > /data/own; cat /data/own; sleep 1; cat /data/new").out, "b\ntext");
  EXPECT_THAT(watching.Texts(), Not(Contains("0 create new")));
}

}  // namespace
}  // namespace lisafs::tests
