// Bundles that cannot become a container: each is refused with an error that names what is wrong, and leaves nothing.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <ostream>

#include "tests/containers/host.h"

namespace lisafs::tests {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

struct BadBundle {
  std::string name;
  std::function<void(const Host& host, Bundle& bundle)> spoil;
  std::string error;  // Part of it.
};
std::ostream& operator<<(std::ostream& stream, const BadBundle& bad) { return stream << bad.name; }

BadBundle BadOption(const std::string& name, const std::string& option) {
  return {name, [option](const Host& host, Bundle& bundle) { bundle.AddBind(host.Path("data"), "/data", {option}); },
          option};
}

const BadBundle kBadBundles[] = {
    {"RootThatIsNotThere", [](const Host&, Bundle& bundle) { bundle.config()["root"]["path"] = "elsewhere"; },
     "elsewhere"},
    {"RootThatIsAFile",
     [](const Host& host, Bundle& bundle) {
       WriteFile(host.Path("bundle/file"), "");
       bundle.config()["root"]["path"] = "file";
     },
     "file"},
    {"NoRoot", [](const Host&, Bundle& bundle) { bundle.config().erase("root"); }, "root"},
    {"RootOfAnotherType", [](const Host&, Bundle& bundle) { bundle.config()["root"] = "rootfs"; }, "root"},
    {"RootPathOfAnotherType", [](const Host&, Bundle& bundle) { bundle.config()["root"]["path"] = 7; }, "root.path"},
    {"MountsOfAnotherType", [](const Host&, Bundle& bundle) { bundle.config()["mounts"] = "none"; }, "mounts"},
    {"SourceThatIsNotThere", [](const Host& host, Bundle& bundle) { bundle.AddBind(host.Path("vanished"), "/data"); },
     "vanished"},
    {"MoreMountsThanASandboxHas",
     [](const Host& host, Bundle& bundle) {
       for (int i = 0; i < 64; i++) bundle.AddBind(host.Path("data"), "/data" + std::to_string(i));
     },
     "64"},
    BadOption("SharedPropagation", "shared"),
    BadOption("IdMapping", "idmap"),
};

class Refusal : public Host {
 protected:
  void SetUp() override {
    if (PlainRuntime()) GTEST_SKIP() << "without LISAFS";
    Host::SetUp();
  }
  void ExpectRefusal(const Bundle& bundle, const std::string& error) {
    std::string id = Id("bad"), log = Path("log");
    Ran ran = Runtime({"--log", log, "--log-format", "json", "create", "--bundle", bundle.path(), id});
    EXPECT_EQ(ran.status, 1) << ran;
    EXPECT_THAT(ran.err, AllOf(HasSubstr("lisafs-runtime: "), HasSubstr(error), Not(HasSubstr("terminate"))));
    // Where engines look.
    EXPECT_THAT(ReadFile(log).value_or(""), AllOf(HasSubstr("error"), HasSubstr(error)));
    EXPECT_TRUE(Sandbox(id).is_null());
    EXPECT_NE(Runtime({"state", id}).status, 0);
  }
};

class BadBundles : public Refusal, public testing::WithParamInterface<BadBundle> {};

TEST_P(BadBundles, AreRefused) {
  MakeDirectory(Path("data"));
  Bundle bundle = BusyboxBundle("bundle");
  GetParam().spoil(*this, bundle);
  bundle.Write();
  ExpectRefusal(bundle, GetParam().error);
}

INSTANTIATE_TEST_SUITE_P(Each, BadBundles, testing::ValuesIn(kBadBundles),
                         [](const auto& test) { return test.param.name; });

TEST_F(Refusal, OfNoConfig) { ExpectRefusal(BusyboxBundle("bundle"), "config.json"); }

TEST_F(Refusal, OfABundleThatIsNotThere) {
  Bundle bundle = BusyboxBundle("bundle");
  std::filesystem::remove_all(bundle.path());
  ExpectRefusal(bundle, bundle.path());
}

TEST_F(Refusal, OfWhatIsNotJson) {
  Bundle bundle = BusyboxBundle("bundle");
  for (std::string text : {"", "{", "[]", "\"text\"", "{\"root\": {\"path\": \"rootfs\"}", "\xff\xfe\x01"}) {
    WriteFile(bundle.path() + "/config.json", text);
    ExpectRefusal(bundle, "config.json");
  }
  WriteFile(bundle.path() + "/config.json", std::string(1000000, '['));
  ExpectRefusal(bundle, "config.json");
}

TEST_F(Refusal, OfAnIdThatIsAPath) {
  Bundle bundle = BusyboxBundle("bundle");
  bundle.Write();
  for (std::string id : {"../escape", "a/b", "", ".", ".."}) {
    Ran ran = Runtime({"create", "--bundle", bundle.path(), id});
    EXPECT_NE(ran.status, 0) << id;
    EXPECT_TRUE(Sandboxes().empty()) << id;
  }
}

}  // namespace
}  // namespace lisafs::tests
