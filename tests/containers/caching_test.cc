// How long containers believe what they have seen of their files.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>

#include "tests/containers/host.h"

namespace lisafs::tests {
namespace {

using testing::HasSubstr;

class Caching : public Host {
 protected:
  // Sleeps, with Path("data") on /data and Path("other") on /other.
  Bundle MakeBundle() {
    for (const char* name : {"data", "other"}) MakeDirectory(Path(name));
    Bundle bundle = BusyboxBundle("bundle");
    for (const char* name : {"data", "other"}) bundle.AddBind(Path(name), std::string("/") + name);
    bundle.SetScript("sleep 1000");
    return bundle;
  }
  // "exclusive" or "shared", by target.
  std::string CacheOf(const std::string& id, const std::string& target) {
    const nlohmann::json sandbox = Sandbox(id);
    for (const auto& mount : sandbox["mounts"]) {
      if (mount["spec"]["target"] == target) return mount["spec"]["cache"];
    }
    return "no such mount";
  }
};

TEST_F(Caching, OnlyTheRootIsTheContainersOwn) {
  Container container(*this, MakeBundle(), Id("default"));
  EXPECT_EQ(CacheOf(container.id(), "/"), "CACHE_EXCLUSIVE");
  EXPECT_EQ(CacheOf(container.id(), "/data"), "CACHE_SHARED");
  EXPECT_THAT(Control({"mounts"}).out, HasSubstr("rw,rec,exclusive"));

  // What the host does shows while the container looks.
  EXPECT_EQ(container.Exec("ls /data; test -e /data/new || echo none").out, "none\n");
  auto finds = [&](const std::string& name) {
    const std::string path = "/data/" + name;
    Process watching(RuntimeCommand({"exec", container.id(), "/bin/sh", "-c",
                                     "test -e " + path + " || echo none; until test -e " + path +
                                         "; do usleep 1000; done; echo found; until grep -q text " + path +
                                         "; do usleep 1000; done; echo text"}),
                     {});
    EXPECT_TRUE(Eventually(kPatience, [&] { return watching.out() == "none\n"; })) << watching.err();
    WriteFile(Path("data/") + name, "");
    const bool at_once = Eventually(std::chrono::milliseconds(700), [&] { return watching.out() == "none\nfound\n"; });
    WriteFile(Path("data/") + name, "text");
    EXPECT_TRUE(watching.Wait().ok());
    return at_once;
  };
  // A busy machine may delay it.
  bool at_once = false;
  for (int i = 0; i < 5 && !at_once; ++i) at_once = finds("new" + std::to_string(i));
  EXPECT_TRUE(at_once);
}

TEST_F(Caching, AnnotationsSayOtherwise) {
  Bundle bundle = MakeBundle();
  bundle.config()["annotations"] = {{"dev.lisafs.cache", "shared,/data=exclusive"},
                                    {"dev.lisafs.descriptors", "/other=withhold"}};
  Container container(*this, bundle, Id("annotated"));
  EXPECT_EQ(CacheOf(container.id(), "/"), "CACHE_SHARED");
  EXPECT_EQ(CacheOf(container.id(), "/data"), "CACHE_EXCLUSIVE");
  EXPECT_EQ(CacheOf(container.id(), "/other"), "CACHE_SHARED");
  const nlohmann::json sandbox = Sandbox(container.id());
  for (const auto& mount : sandbox["mounts"]) {
    EXPECT_EQ(mount["spec"].value("withholdDescriptors", false), mount["spec"]["target"] == "/other");
  }
  // Nobody asks again.
  EXPECT_EQ(container.Exec("test -e /data/new || echo none").out, "none\n");
  WriteFile(Path("data/new"), "");
  EXPECT_EQ(container.Exec("sleep 2; test -e /data/new || echo none").out, "none\n");
}

TEST_F(Caching, ChangesWhileTheContainerRuns) {
  Bundle bundle = MakeBundle();
  const std::string root = bundle.rootfs();
  Container container(*this, bundle, Id("changing"));
  auto set = [&](const char* word) { return Control({"mount", "set", container.id(), "/", word}); };
  EXPECT_EQ(container.Exec("test -e /new || echo none").out, "none\n");
  WriteFile(root + "/new", "text");
  EXPECT_EQ(container.Exec("test -e /new || echo none").out, "none\n") << "nobody asks again";
  Ran ran = set("cache=shared");
  EXPECT_TRUE(ran.ok()) << ran.err;
  EXPECT_THAT(Control({"mounts", container.id()}).out, HasSubstr("rw,rec,shared"));
  EXPECT_TRUE(Eventually(kPatience, [&] { return container.Exec("cat /new").out == "text"; }));
  EXPECT_EQ(container.Exec("test -e /newer || echo none").out, "none\n");
  WriteFile(root + "/newer", "text");
  // Before what was not told would be asked for again.
  EXPECT_TRUE(Eventually(std::chrono::seconds(9), [&] { return container.Exec("cat /newer").out == "text"; }));
  EXPECT_TRUE(set("cache=exclusive").ok());
  EXPECT_THAT(Control({"mounts", container.id()}).out, HasSubstr("rw,rec,exclusive"));
  EXPECT_EQ(set("cache=none").status, 2);
}

TEST_F(Caching, WhatAnAnnotationCannotMeanIsRefusedByName) {
  Bundle bundle = MakeBundle();
  bundle.config()["annotations"] = {{"dev.lisafs.cache", "/nowhere=shared"}};
  Ran ran = RunContainer(bundle, Id("refused"));
  EXPECT_FALSE(ran.ok());
  EXPECT_THAT(ran.err, HasSubstr("annotation dev.lisafs.cache: no file system is bound to /nowhere"));
}

}  // namespace
}  // namespace lisafs::tests
