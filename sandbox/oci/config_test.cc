#include "sandbox/oci/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>

namespace lisafs {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

json Minimal() {
  return json::parse(R"({"ociVersion": "1.0.2", "root": {"path": "rootfs"}, "process": {"cwd": "/"}, "mounts": []})");
}

json WithMount(json mount) {
  json config = Minimal();
  config["mounts"].push_back(std::move(mount));
  return config;
}

json Range(uint32_t inside, int64_t outside, int64_t size) {
  return json::array({{{"containerID", inside}, {"hostID", outside}, {"size", size}}});
}

json WithMaps(json uids, json gids) {
  return WithMount({{"destination", "/d"},
                    {"type", "bind"},
                    {"source", "/s"},
                    {"uidMappings", std::move(uids)},
                    {"gidMappings", std::move(gids)}});
}

TEST(OciConfig, FindsTheRoot) {
  struct Case {
    const char* path;
    const char* source;
  };
  for (const Case& c :
       {Case{"rootfs", "/b/rootfs"}, Case{"/abs/root", "/abs/root"}, Case{"../r", "/b/../r"}, Case{".", "/b/."}}) {
    json config = Minimal();
    config["root"]["path"] = c.path;
    auto parsed = OciConfig::Parse(config.dump(), "/b");
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(parsed->root().source, c.source);
    EXPECT_EQ(parsed->root().target, "/");
    EXPECT_TRUE(parsed->root().options.recursive);
    EXPECT_FALSE(parsed->root().options.read_only);
  }
  json config = Minimal();
  config["root"]["readonly"] = true;
  EXPECT_TRUE(OciConfig::Parse(config.dump(), "/b")->root().options.read_only);
}

TEST(OciConfig, ReadsAnnotations) {
  json config = WithMount({{"destination", "/data/"}, {"type", "bind"}, {"source", "/srv"}});
  config["annotations"] = {{"some.other", "x"}, {"dev.lisafs.cache", "/data=exclusive"}};
  auto parsed = OciConfig::Parse(config.dump(), "/b");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->mounts()[0].policy.cache, OciMountPolicy::Cache::kExclusive);
  EXPECT_EQ(parsed->root().policy.cache, OciMountPolicy::Cache::kDefault);

  config["annotations"] = {{"dev.lisafs.cache", "/proc=shared"}};
  EXPECT_THAT(OciConfig::Parse(config.dump(), "/b").status().message(), HasSubstr("no file system is bound to /proc"));
  config["annotations"] = {{"dev.lisafs.cache", 1}};
  EXPECT_THAT(OciConfig::Parse(config.dump(), "/b").status().message(), HasSubstr("must be a string"));
}

TEST(OciConfig, FindsMounts) {
  json config = Minimal();
  config["process"]["cwd"] = "/work/./dir/";
  config["mounts"] = json::parse(R"([
    {"destination": "/proc", "type": "proc", "source": "proc", "options": ["anything"]},
    {"destination": "/data//x/../y/", "type": "bind", "source": "/srv/data", "options": ["rbind", "ro"]},
    {"destination": "etc/hosts", "source": "hosts", "options": ["bind"]},
    {"destination": "/none", "type": "none", "source": "/n", "options": ["rbind", "rw"]},
    {"destination": "/shm", "type": "tmpfs", "options": null}
  ])");
  auto parsed = OciConfig::Parse(config.dump(), "/b/");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const std::vector<OciMount>& mounts = parsed->mounts();
  ASSERT_EQ(mounts.size(), 5u);
  EXPECT_FALSE(mounts[0].bind);
  EXPECT_EQ(mounts[0].target, "/proc");
  EXPECT_TRUE(mounts[1].bind);
  EXPECT_EQ(mounts[1].target, "/data/y");
  EXPECT_EQ(mounts[1].source, "/srv/data");
  EXPECT_TRUE(mounts[1].options.recursive);
  EXPECT_TRUE(mounts[1].options.read_only);
  EXPECT_TRUE(mounts[2].bind);
  EXPECT_EQ(mounts[2].target, "/etc/hosts");
  EXPECT_EQ(mounts[2].source, "/b/hosts");
  EXPECT_FALSE(mounts[2].options.recursive);
  EXPECT_TRUE(mounts[3].bind);
  EXPECT_FALSE(mounts[4].bind);
  EXPECT_EQ(parsed->working_directory(), "/work/dir");
}

TEST(OciConfig, RewritesOnlyWhatIsServed) {
  json config = Minimal();
  config["root"]["readonly"] = true;
  config["linux"] = {{"resources", {{"memory", {{"limit", 9007199254740993}}}}}};
  config["hooks"]["createRuntime"] = json::array({{{"path", "/bin/theirs"}}});
  config["hooks"]["poststop"] = json::array({{{"path", "/bin/last"}}});
  config["mounts"] = json::parse(R"([
    {"destination": "/a", "type": "bind", "source": "/srv/a", "options": ["ro", "rbind", "rprivate"]},
    {"destination": "/b", "type": "bind", "source": "/srv/b", "options": ["bind"]},
    {"destination": "/c", "type": "bind", "source": "/srv/c"}
  ])");
  auto parsed = OciConfig::Parse(config.dump(), "/b");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const OciConfig::Replacement replacements[] = {{0, "/m/1"}, {2, "/m/2"}};
  json rewritten = json::parse(parsed->Rewritten("/m/rootfs", replacements, {"/bin/ours", "move", "7"}));

  json expected = config;
  expected["root"]["path"] = "/m/rootfs";
  expected["mounts"][0]["source"] = "/m/1";
  expected["mounts"][0]["options"] = {"ro", "bind", "rprivate"};
  expected["mounts"][2]["source"] = "/m/2";
  expected["hooks"]["createRuntime"] =
      json::array({{{"path", "/bin/theirs"}}, {{"path", "/bin/ours"}, {"args", {"/bin/ours", "move", "7"}}}});
  EXPECT_EQ(rewritten, expected);
}

TEST(OciConfig, AddsHooksWhereThereAreNone) {
  for (const json& hooks : {json(), json::object(), json{{"createRuntime", nullptr}}}) {
    json config = Minimal();
    config["hooks"] = hooks;
    auto parsed = OciConfig::Parse(config.dump(), "/b");
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    json rewritten = json::parse(parsed->Rewritten("/m", {}, {"/bin/ours"}));
    EXPECT_EQ(rewritten["hooks"]["createRuntime"].size(), 1u);
  }
}

TEST(OciConfig, ResolvesMounts) {
  json config = Minimal();
  config["mounts"] = json::parse(R"([
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/lib/a", "type": "bind", "source": "a", "options": ["ro"], "other": 1},
    {"destination": "/b", "type": "none", "source": "/srv/b", "options": ["rbind"]},
    {"destination": "/c", "type": "bind", "source": "/srv/c"}
  ])");
  auto parsed = OciConfig::Parse(config.dump(), "/b");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const OciConfig::Resolved resolved[] = {{1, "/usr/lib/a", {"stale"}}, {3, "/c", {}}};
  json expected = config["mounts"];
  expected[1]["source"] = "/b/a";
  expected[1]["destination"] = "/usr/lib/a";
  expected[1]["options"] = {"ro", "stale"};
  expected[3]["options"] = json::array();
  EXPECT_EQ(json::parse(parsed->ResolvedMounts(resolved)), expected);
  EXPECT_EQ(OciConfig::Parse(Minimal().dump(), "/b")->ResolvedMounts({}), "[]");
}

TEST(OciConfig, KnowsHooks) {
  json config = Minimal();
  config["hooks"] = {{"createContainer", json::array({{{"path", "/x"}}})}, {"poststop", json::array()}};
  auto parsed = OciConfig::Parse(config.dump(), "/b");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_TRUE(parsed->HasHooks("createContainer"));
  EXPECT_FALSE(parsed->HasHooks("poststop") || parsed->HasHooks("prestart"));
  auto minimal = OciConfig::Parse(Minimal().dump(), "/b");
  EXPECT_FALSE(minimal->HasHooks("createContainer"));
}

TEST(OciConfig, RefusesWhatItCannotHonourByName) {
  struct Case {
    json config;
    const char* message;
  };
  auto without = [](const char* pointer) {
    json config = Minimal();
    json::json_pointer at(pointer);
    config.at(at.parent_pointer()).erase(at.back());
    return config;
  };
  auto with = [](const char* pointer, json value) {
    json config = Minimal();
    config[json::json_pointer(pointer)] = std::move(value);
    return config;
  };
  auto bind = [](json options) {
    return WithMount({{"destination", "/d"}, {"type", "bind"}, {"source", "/s"}, {"options", std::move(options)}});
  };
  const Case cases[] = {
      {json::array(), "is not a JSON object"},
      {without("/root"), "root.path: is missing"},
      {without("/root/path"), "root.path: is missing"},
      {with("/root", "rootfs"), "root: must be of type object"},
      {with("/root/path", 7), "root.path: must be of type string"},
      {with("/root/path", ""), "root.path: is empty"},
      {with("/root/path", std::string("a\0b", 3)), "root.path: has a NUL in it"},
      {with("/root/path", std::string(5000, 'a')), "root.path: is too long"},
      {with("/root/readonly", "yes"), "root.readonly: must be of type boolean"},
      {with("/Root", json::object()), "Root: must be spelled root"},
      {with("/root/PATH", "/other"), "root.PATH: must be spelled path"},
      {with("/mounts", json::object()), "mounts: must be of type array"},
      {with("/Mounts", json::array()), "Mounts: must be spelled mounts"},
      {WithMount("x"), "mounts[0]: must be of type object"},
      {WithMount({{"type", "tmpfs"}}), "mounts[0].destination: is missing"},
      {WithMount({{"destination", "/d"}, {"type", "bind"}}), "mounts[0].source: is missing"},
      {WithMount({{"destination", "/d"}, {"type", "bind"}, {"source", ""}}), "mounts[0].source: is empty"},
      {WithMount({{"destination", "/d"}, {"type", "bind"}, {"Source", "/s"}}),
       "mounts[0].Source: must be spelled source"},
      {WithMount({{"destination", "/d"}, {"type", 3}}), "mounts[0].type: must be of type string"},
      {WithMount({{"destination", "/d"}, {"type", "overlay"}, {"source", "overlay"}}),
       "mount /d: a file system of type \"overlay\" cannot be served by lisafs"},
      {WithMount({{"destination", "/d"}, {"type", "ext4"}, {"source", "/dev/sda"}}), "type \"ext4\""},
      {WithMount({{"destination", "/d"}}), "type \"\""},
      {bind("ro"), "mounts[0].options: must be of type array"},
      {bind({"bind", 1}), "mounts[0].options: must be strings"},
      {bind({"bind", "rshared"}), "mount /d: option rshared cannot be honoured"},
      {bind({"bind", "idmap"}),
       "mount /d: option idmap cannot be honoured: neither the mount nor the container maps ids"},
      {bind({"bind", "idmap=uids=0-1-2"}), "mount /d: option idmap=uids=0-1-2: not uids=… and gids=…"},
      {bind({"bind", "secret"}), "mount /d: option secret is not known"},
      {WithMaps(json::array({json::object()}), Range(0, 1, 1)), "mounts[0].uidMappings: containerID must be an id"},
      {WithMaps(Range(0, 1, 1), Range(0, -1, 1)), "mounts[0].gidMappings: hostID must be an id"},
      {WithMaps(Range(0, 1, 1), Range(0, 1, int64_t{1} << 32)), "mounts[0].gidMappings: size must be an id"},
      {WithMaps(Range(0, 1, 0), Range(0, 1, 1)), "mounts[0].uidMappings: a range without ids"},
      {WithMaps(json::array(), Range(0, 1, 1)), "mounts[0].uidMappings: is missing"},
      {WithMaps(Range(0, 1, 1), nullptr), "mounts[0].gidMappings: is missing"},
      {WithMaps("x", Range(0, 1, 1)), "mounts[0].uidMappings: must be of type array"},
      {with("/linux", {{"namespaces", {{{"type", "user"}}}}}), "linux.uidMappings: is missing"},
      {with("/process", 1), "process: must be of type object"},
      {with("/process/cwd", json::array()), "process.cwd: must be of type string"},
      {with("/hooks", 1), "hooks: must be of type object"},
      {with("/hooks", {{"createRuntime", "x"}}), "hooks.createRuntime: must be of type array"},
      {with("/linux", {{"namespaces", {{{"type", "mount"}, {"path", "/proc/1/ns/mnt"}}}}}), "linux.namespaces[0].path"},
  };
  for (const Case& c : cases) {
    auto parsed = OciConfig::Parse(c.config.dump(), "/b");
    ASSERT_FALSE(parsed.ok()) << c.config.dump().substr(0, 200);
    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(parsed.status().message()), HasSubstr(c.message));
  }
}

TEST(OciConfig, ReadsIdMaps) {
  json config = WithMaps(Range(0, 100000, 10), Range(5, 200000, 20));
  config["mounts"].push_back(
      {{"destination", "/e"}, {"type", "bind"}, {"source", "/e"}, {"options", {"rbind", "ridmap"}}});
  config["mounts"].push_back({{"destination", "/f"},
                              {"type", "bind"},
                              {"source", "/f"},
                              {"options", {"bind", "idmap=uids=5-0-1;gids=@5-0-1", "ro"}}});
  config["linux"] = {
      {"namespaces", {{{"type", "user"}}}}, {"uidMappings", Range(0, 300000, 7)}, {"gidMappings", Range(0, 400000, 7)}};
  auto parsed = OciConfig::Parse(config.dump(), "/b");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const OciMount &with_ids = parsed->mounts()[0], &containers = parsed->mounts()[1], &option = parsed->mounts()[2];
  EXPECT_EQ(option.id_map, (IdMap{{{5, 0, 1}}, {{5, 400000, 1}}}));
  EXPECT_TRUE(with_ids.options.id_mapped && !with_ids.options.id_mapped_recursive);
  EXPECT_EQ(with_ids.id_map, (IdMap{{{0, 100000, 10}}, {{5, 200000, 20}}}));
  EXPECT_TRUE(containers.options.id_mapped && containers.options.id_mapped_recursive);
  EXPECT_FALSE(containers.id_map);
  ASSERT_TRUE(parsed->user_namespace());
  EXPECT_EQ(parsed->user_namespace()->path, "");
  EXPECT_EQ(parsed->user_namespace()->id_map, (IdMap{{{0, 300000, 7}}, {{0, 400000, 7}}}));

  // The low-level runtime finds nothing left to map.
  json rewritten =
      json::parse(parsed->Rewritten("/r", std::vector<OciConfig::Replacement>{{0, "/0"}, {1, "/1"}, {2, "/2"}}, {"h"}));
  EXPECT_EQ(rewritten["mounts"][2]["options"], json::parse(R"(["bind", "ro"])"));
  EXPECT_EQ(rewritten["mounts"][0], json::parse(R"({"destination": "/d", "type": "bind", "source": "/0"})"));
  EXPECT_EQ(rewritten["mounts"][1]["options"], json::parse(R"(["bind"])"));

  config["mounts"].erase(2);
  config["linux"] = {{"namespaces", {{{"type", "user"}, {"path", "/proc/7/ns/user"}}}}};
  parsed = OciConfig::Parse(config.dump(), "/b");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->user_namespace()->path, "/proc/7/ns/user");
  EXPECT_FALSE(OciConfig::Parse(Minimal().dump(), "/b")->user_namespace());
}

TEST(OciConfig, RefusesWhatIsNoJson) {
  const std::string deep = std::string(100000, '[') + std::string(100000, ']');
  for (const std::string& text : {std::string(), std::string("{"), std::string("{} {}"), std::string("\xff\xfe"),
                                  std::string("{\"root\": \"\xff\"}"), std::string("null")}) {
    EXPECT_FALSE(OciConfig::Parse(text, "/b").ok()) << text;
  }
  json config = Minimal();
  std::string nested = config.dump();
  nested.insert(1, "\"deep\": " + deep + ",");
  EXPECT_THAT(std::string(OciConfig::Parse(nested, "/b").status().message()), HasSubstr("nested too deeply"));
  std::string huge = config.dump() + std::string(OciConfig::kMaxSize, ' ');
  EXPECT_THAT(std::string(OciConfig::Parse(huge, "/b").status().message()), HasSubstr("is longer than"));
}

TEST(OciConfig, ReadsFiles) {
  std::string path = std::string(getenv("TEST_TMPDIR")) + "/config.json";
  auto missing = OciConfig::Read(path, "/b");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr(path));

  std::ofstream(path) << Minimal().dump();
  EXPECT_TRUE(OciConfig::Read(path, "/b").ok());

  std::ofstream(path) << "{";
  EXPECT_THAT(std::string(OciConfig::Read(path, "/b").status().message()), HasSubstr(path + ": is not valid JSON"));

  EXPECT_FALSE(OciConfig::Read(getenv("TEST_TMPDIR"), "/b").ok()) << "a directory";
  EXPECT_FALSE(OciConfig::Read("/dev/zero", "/b").ok()) << "an endless file";
}

}  // namespace
}  // namespace lisafs
