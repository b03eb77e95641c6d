// What a container asks a mount for, as an operator sees it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <sstream>

#include "tests/containers/host.h"

namespace lisafs::tests {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Key;
using testing::Not;

// By path, with the names of the fields that are true.
using Profile = std::map<std::string, std::string>;

class Record : public Host {
 protected:
  Bundle MakeBundle() {
    MakeDirectory(Path("data"));
    for (const char* name : {"seen", "read", "old"}) WriteFile(Path("data/") + name, "text");
    std::filesystem::create_symlink("read", Path("data/link"));
    Bundle bundle = BusyboxBundle("bundle");
    std::filesystem::copy_file("/bin/busybox", Path("data/busybox"));
    bundle.AddBind(Path("data"), "/data");
    bundle.SetScript("sleep 1000");
    return bundle;
  }

  // Runs the script while the mount is recorded.
  Profile Recorded(const Container& container, const std::string& target, const std::string& script) {
    Process recording(
        {Program("lisafsctl"), "--socket", socket(), "--json", "record", container.id(), target, "--seconds", "1000"},
        {});
    // The first answer, without files: it has begun.
    EXPECT_TRUE(Eventually(kPatience, [&] { return recording.out().ends_with('\n'); })) << recording.err();
    Ran ran = container.Exec(script);
    EXPECT_TRUE(ran.ok()) << ran;
    // It has all been told once something is that was done after it.
    container.Exec("test -e " + target + "/the-end");
    Profile profile;
    EXPECT_TRUE(Eventually(kPatience, [&] { return (profile = Parse(recording.out())).contains("/the-end"); }));
    recording.Signal(SIGTERM);
    EXPECT_EQ(recording.Wait().status, 128 + SIGTERM);
    return profile;
  }

 private:
  static Profile Parse(const std::string& said) {
    Profile profile;
    std::istringstream lines(said.substr(0, said.rfind('\n') + 1));
    for (std::string line; std::getline(lines, line);) {
      const nlohmann::json response = nlohmann::json::parse(line);
      EXPECT_FALSE(response.value("incomplete", false)) << line;
      for (const auto& file : response.value("files", nlohmann::json::array())) {
        std::string& what = profile[Decode(file["path"])];
        what.clear();
        for (const auto& [key, value] : file.items()) {
          if (value == true) what += key + " ";
        }
      }
    }
    return profile;
  }

  // What JSON has of bytes.
  static std::string Decode(const std::string& base64) {
    std::string text;
    uint32_t bits = 0;
    int count = 0;
    for (char c : base64) {
      constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
      const size_t digit = kDigits.find(c);
      if (digit == kDigits.npos) break;
      bits = bits << 6 | static_cast<uint32_t>(digit);
      count += 6;
      if (count >= 8) text += static_cast<char>(bits >> (count -= 8));
    }
    return text;
  }
};

TEST_F(Record, NamesAndWhatTheyWereAskedFor) {
  Container container(*this, MakeBundle(), Id("record"));
  const Profile profile = Recorded(container, "/data",
                                   "cd /data && stat seen && ! stat none && cat read && echo x > made && mkdir dir && "
                                   "ln read hard && mv hard moved && rm moved && rmdir dir && ln -s a soft && "
                                   "readlink link && chmod 600 seen && truncate -s 1 old && ./busybox true && "
                                   "ls -l . > /dev/null");
  auto expect = [&](const std::string& path, const std::vector<std::string>& all) {
    auto found = profile.find(path);
    ASSERT_NE(found, profile.end()) << path;
    for (const std::string& what : all) EXPECT_THAT(found->second, HasSubstr(what)) << path;
  };
  expect("/", {"read"});
  expect("/seen", {"lookedUp", "attributesChanged"});
  expect("/none", {"missing"});
  expect("/read", {"read"});
  expect("/made", {"made", "written"});
  expect("/dir", {"made", "removed"});
  expect("/hard", {"made", "removed"});
  expect("/moved", {"made", "removed"});
  expect("/soft", {"made"});
  expect("/link", {"read"});
  expect("/old", {"written"});
  expect("/busybox", {"read", "executed"});
  EXPECT_THAT(profile.at("/seen"), Not(HasSubstr("written")));

  // The plugin has counted, too.
  const std::string statistics = Control({"stats", container.id()}).out;
  EXPECT_THAT(statistics, HasSubstr("requests of the kernel the plugin says that it answered"));
  EXPECT_THAT(statistics, HasSubstr("lookup"));
}

TEST_F(Record, RefusalsAndAnotherMount) {
  Container container(*this, MakeBundle(), Id("refused"));
  ASSERT_TRUE(Control({"mount", "set", container.id(), "/data", "read-only=on"}).ok());
  const Profile profile = Recorded(container, "/data", "! echo x > /data/made; ! rm /data/read; echo y > /elsewhere");
  ASSERT_THAT(profile, Contains(Key("/made")));
  EXPECT_THAT(profile.at("/made"), HasSubstr("refused"));
  ASSERT_THAT(profile, Contains(Key("/read")));
  EXPECT_THAT(profile.at("/read"), HasSubstr("refused"));
  EXPECT_THAT(profile, Not(Contains(Key("/elsewhere"))));
  Ran in_time = Control({"record", container.id(), "/", "--seconds", "0.1"});
  EXPECT_TRUE(in_time.ok() && in_time.err.empty()) << in_time;
}

}  // namespace
}  // namespace lisafs::tests
