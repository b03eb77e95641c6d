// Containers with user namespaces, and mounts whose ids are mapped: who owns files, as the container and as the host
// see it.

#include "sandbox/user_namespace.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <sstream>
#include <string>

#include "base/fd.h"
#include "sandbox/detached_tree.h"
#include "sandbox/fuse_mount.h"
#include "tests/containers/host.h"

namespace lisafs::tests {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

constexpr uint32_t kFirst = 100000;  // The container's root, on the host.
constexpr uint32_t kCount = 65536;

Json Range(uint32_t inside, uint32_t outside, uint32_t count) {
  return Json::array({{{"containerID", inside}, {"hostID", outside}, {"size", count}}});
}

void MapIds(Json& object, const Json& ranges) { object["uidMappings"] = object["gidMappings"] = ranges; }

std::string Owner(const std::string& path) {
  struct stat file;
  if (lstat(path.c_str(), &file) != 0) return "none";
  return std::to_string(file.st_uid) + ":" + std::to_string(file.st_gid);
}

std::string Mode(const std::string& path) {
  struct stat file;
  char mode[8] = "none";
  if (lstat(path.c_str(), &file) == 0) snprintf(mode, sizeof mode, "%o", file.st_mode & 07777);
  return mode;
}

// What a container runs in /data, in which `mine` belongs to 0, `user` to 1000 and `foreign` to nobody whom the mount
// or the container knows.
constexpr char kWork[] = R"sh(
  cd /data
  stat -c '%n %u:%g' mine user foreign
  cat foreign || true
  echo x >> foreign || true
  chown 0 foreign || true
  set -e
  echo made > made && mkdir directory && ln -s made link && mkfifo fifo
  stat -c '%n %u:%g %a' made directory link fifo
  chown 5:6 made && chmod 6755 made && stat -c '%n %u:%g %a' made
  chown -h 7:7 link
  echo more >> user && mv user directory/moved && ln directory/moved hard
  dd if=/dev/zero of=large bs=64k count=20 2> /dev/null && chown 1000 large
  touch -d @1000000000 mine && mkdir deep && touch deep/file && rm -r deep
  probe acl hard 42 && probe acl hard
  probe filecap mine set && probe filecap mine
)sh";
constexpr char kWorkSays[] =
    "mine 0:0\nuser 1000:1000\nforeign 65534:65534\nsecret\n"
    "made 0:0 644\ndirectory 0:0 755\nlink 0:0 777\nfifo 0:0 644\nmade 5:6 6755\n42\nown\n";

class UserNamespace : public Host, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    Host::SetUp();
    if (IsSkipped()) return;
    if (!MakeUserNamespace({{{0, kFirst, kCount}}, {{0, kFirst, kCount}}}).ok()) GTEST_SKIP() << "no user namespaces";
    ASSERT_EQ(chmod(Path("").c_str(), 0711), 0);  // So that somebody else can reach the root.
  }

  // A root that belongs to the container's root, as engines prepare it.
  Bundle MappedBundle(const std::string& name, uint32_t owner = kFirst) {
    Bundle bundle = BusyboxBundle(name);
    EXPECT_TRUE(RunProgram({"cp", DataFile("tests/containers/probe"), bundle.rootfs() + "/bin/probe"}).ok());
    const std::string ids = std::to_string(owner) + ":" + std::to_string(owner);
    EXPECT_TRUE(RunProgram({"chown", "-R", "-h", ids, bundle.rootfs()}).ok());
    bundle.config()["linux"]["namespaces"].push_back({{"type", "user"}});
    MapIds(bundle.config()["linux"], Range(0, kFirst, kCount));
    return bundle;
  }

  // `first` is what the container's id 0 is on the host's disk.
  std::string Data(const std::string& name, uint32_t first, uint32_t foreign) {
    const std::string directory = Path(name);
    MakeDirectory(directory);
    const std::pair<const char*, uint32_t> files[] = {
        {"", first}, {"/mine", first}, {"/user", first + 1000}, {"/foreign", foreign}};
    for (const auto& [file, owner] : files) {
      if (*file != '\0') WriteFile(directory + file, "secret\n");
      EXPECT_EQ(chown((directory + file).c_str(), owner, owner), 0);
    }
    return directory;
  }

  void ExpectWorked(const Ran& ran, const std::string& data, uint32_t first, uint32_t foreign) {
    EXPECT_EQ(ran.status, 0) << ran;
    EXPECT_EQ(ran.out, kWorkSays) << ran;
    EXPECT_THAT(ran.err, HasSubstr("chown: foreign: "));
    auto both = [&](uint32_t id) { return std::to_string(first + id) + ":" + std::to_string(first + id); };
    EXPECT_EQ(Owner(data + "/made"), std::to_string(first + 5) + ":" + std::to_string(first + 6));
    EXPECT_EQ(Mode(data + "/made"), "6755");
    EXPECT_EQ(Owner(data + "/directory"), both(0));
    EXPECT_EQ(Owner(data + "/fifo"), both(0));
    EXPECT_EQ(Owner(data + "/link"), both(7));
    EXPECT_EQ(Owner(data + "/directory/moved"), both(1000));
    EXPECT_EQ(Owner(data + "/large"), std::to_string(first + 1000) + ":" + std::to_string(first));
    EXPECT_EQ(Owner(data + "/foreign"), std::to_string(foreign) + ":" + std::to_string(foreign));
    EXPECT_EQ(ReadFile(data + "/foreign"), "secret\n");
    EXPECT_EQ(ReadFile(data + "/hard"), "secret\nmore\n");
    EXPECT_EQ(RunProgram({DataFile("tests/containers/probe"), "acl", data + "/hard"}).out,
              std::to_string(first + 42) + "\n");
    // To the host it is no capability of its own root's.
    EXPECT_EQ(RunProgram({DataFile("tests/containers/probe"), "filecap", data + "/mine"}).out,
              first == 0 ? "own\n" : std::to_string(first) + "\n");
  }

  Ran RunIn(const std::string& runtime, const Bundle& bundle) {
    if (runtime == "runc") return RunContainer(bundle, Id("userns"));
    bundle.Write();
    // See crun_test.
    return RunProgram({"unshare", "--mount", "sh", "-c", "mount -t cgroup2 none /sys/fs/cgroup && exec \"$@\"", "sh",
                       Program("lisafs-runtime"), "--runtime", runtime, "--lisafsd", socket(), "--root", Path("crun"),
                       "--cgroup-manager=disabled", "run", "--bundle", bundle.path(), Id("userns")});
  }
};

TEST_P(UserNamespace, FilesOfTheContainersIds) {
  const std::string data = Data("data", kFirst, 7);
  Bundle bundle = MappedBundle("bundle");
  bundle.AddBind(data, "/data");
  bundle.SetScript(kWork);
  ExpectWorked(RunIn(GetParam(), bundle), data, kFirst, 7);
}

TEST_P(UserNamespace, MountThatHasTheContainersMap) {
  if (PlainRuntime()) GTEST_SKIP() << "without LISAFS";
  const std::string data = Data("data", 0, kCount + 7);
  Bundle bundle = MappedBundle("bundle");
  bundle.AddBind(data, "/data", {"idmap"});
  bundle.SetScript(kWork);
  ExpectWorked(RunIn(GetParam(), bundle), data, 0, kCount + 7);
}

TEST_P(UserNamespace, MountThatHasAMapOfItsOwn) {
  if (PlainRuntime()) GTEST_SKIP() << "without LISAFS";
  const std::string data = Data("data", 50000, 0);
  Bundle bundle = MappedBundle("bundle");
  bundle.AddBind(data, "/data");
  MapIds(bundle.config()["mounts"].back(), Range(50000, kFirst, 2000));
  // The container knows 3000, the mount does not.
  bundle.SetScript(std::string(kWork) + "! chown 3000 directory && ! chgrp 3000 directory\n");
  Ran ran = RunIn(GetParam(), bundle);
  ExpectWorked(ran, data, 50000, 0);
  EXPECT_THAT(ran.err, HasSubstr("chown: directory: Value too large"));
  EXPECT_EQ(Owner(data + "/directory"), "50000:50000");
}

INSTANTIATE_TEST_SUITE_P(Runtimes, UserNamespace, testing::Values("runc", "crun"),
                         [](const auto& info) { return std::string(info.param); });

class IdMaps : public UserNamespace {};

TEST_F(IdMaps, WithoutAUserNamespace) {
  if (PlainRuntime()) GTEST_SKIP() << "without LISAFS";
  const std::string data = Data("data", 1000, 7);
  Bundle bundle = BusyboxBundle("bundle");
  bundle.AddBind(data, "/data");
  MapIds(bundle.config()["mounts"].back(), Range(1000, 0, 1));
  bundle.SetScript(
      "cd /data; stat -c '%n %u:%g' mine user foreign; echo x > made; stat -c %u:%g made; chown 5 made; echo y > user; "
      "rm foreign");
  Ran ran = RunContainer(bundle, Id("maps"));
  EXPECT_EQ(ran.out, "mine 0:0\nuser 65534:65534\nforeign 65534:65534\n0:0\n") << ran;
  EXPECT_THAT(ran.err, HasSubstr("chown: made: Value too large"));
  EXPECT_EQ(Owner(data + "/made"), "1000:1000");
  EXPECT_EQ(ReadFile(data + "/user"), "secret\n");
  EXPECT_EQ(Owner(data + "/foreign"), "7:7");
}

TEST_F(IdMaps, OfMountsBelow) {
  if (PlainRuntime()) GTEST_SKIP() << "without LISAFS";
  const std::string data = Data("data", 0, 7);
  MakeDirectory(data + "/below");
  ASSERT_EQ(mount("lisafs-test", (data + "/below").c_str(), "tmpfs", 0, "uid=0,gid=0,mode=755"), 0);
  for (const auto& [option, owner] : {std::pair("idmap", "65534:65534"), std::pair("ridmap", "0:0")}) {
    Bundle bundle = MappedBundle(option);
    bundle.AddBind(data, "/data", {"rbind", option});
    bundle.SetScript("stat -c %u:%g /data /data/below");
    Ran ran = RunContainer(bundle, Id(option));
    EXPECT_EQ(ran.out, std::string("0:0\n") + owner + "\n") << ran;
  }
  EXPECT_EQ(umount((data + "/below").c_str()), 0);
}

TEST_F(IdMaps, FileSystemsThatCannotAreSaidByName) {
  if (PlainRuntime()) GTEST_SKIP() << "without LISAFS";
  for (const char* directory : {"lower", "upper", "work", "overlay"}) MakeDirectory(Path(directory));
  const std::string options = "lowerdir=" + Path("lower") + ",upperdir=" + Path("upper") + ",workdir=" + Path("work");
  ASSERT_EQ(mount("overlay", Path("overlay").c_str(), "overlay", 0, options.c_str()), 0);
  Bundle bundle = MappedBundle("bundle");
  bundle.AddBind(Path("overlay"), "/data", {"idmap"});
  Ran ran = RunContainer(bundle, Id("overlay"));
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("mount /data: source " + Path("overlay") + ": its file system cannot be id-mapped"));
  EXPECT_EQ(umount(Path("overlay").c_str()), 0);
}

TEST_F(IdMaps, ThatHaveNobodyInCommonAreRefused) {
  if (PlainRuntime()) GTEST_SKIP() << "without LISAFS";
  Bundle bundle = MappedBundle("bundle");
  bundle.AddBind(Data("data", 0, 7), "/data");
  MapIds(bundle.config()["mounts"].back(), Range(0, 1000, 10));
  Ran ran = RunContainer(bundle, Id("apart"));
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("have no id in common"));
}

// Some engines give a container a root that they have mounted id-mapped themselves.
TEST_F(IdMaps, OfTheEngine) {
  Bundle bundle = MappedBundle("bundle", 0);
  auto ids = MakeUserNamespace({{{0, kFirst, kCount}}, {{0, kFirst, kCount}}});
  ASSERT_TRUE(ids.ok()) << ids.status();
  auto tree = OpenDetachedTree(bundle.rootfs(), {}, false, TreeTypes::kDirectoryOrFile, {ids->get(), false});
  ASSERT_TRUE(tree.ok()) << tree.status();
  auto point = OpenMountPoint(bundle.rootfs(), S_IFDIR);
  ASSERT_TRUE(point.ok());
  ASSERT_TRUE(AttachMount(tree->fd.get(), point->get()).ok());
  tree->fd.reset();
  bundle.SetScript("echo x > /tmp/made; stat -c %u:%g / /tmp/made; chown 5:6 /tmp/made; echo y >> /tmp/made");
  Ran ran = RunContainer(bundle, Id("engine"));
  EXPECT_EQ(ran.out, "0:0\n0:0\n") << ran;
  // Here the wrapper makes the mount point that is missing.
  ASSERT_EQ(rmdir((bundle.rootfs() + "/sys").c_str()), 0);
  bundle.config()["root"]["readonly"] = true;
  bundle.SetScript("stat -c %u:%g /tmp/made; test -d /sys/fs");
  ran = RunContainer(bundle, Id("engine-ro"));
  EXPECT_TRUE(ran.ok()) << ran;
  EXPECT_EQ(ran.out, "5:6\n") << ran;
  point->reset();
  ASSERT_EQ(umount(bundle.rootfs().c_str()), 0);
  EXPECT_EQ(Owner(bundle.rootfs() + "/tmp/made"), "5:6");
  EXPECT_EQ(Owner(bundle.rootfs() + "/sys"), "0:0");
}

TEST_F(IdMaps, OfANamespaceThatIsThere) {
  auto there = MakeUserNamespace({{{0, kFirst, kCount}}, {{0, kFirst, kCount}}});
  ASSERT_TRUE(there.ok()) << there.status();
  const std::string data = Data("data", 0, kCount + 7);
  Bundle bundle = MappedBundle("bundle");
  bundle.config()["linux"]["namespaces"].back()["path"] =
      "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(there->get());
  bundle.AddBind(data, "/data", {"idmap"});
  bundle.SetScript(kWork);
  ExpectWorked(RunContainer(bundle, Id("there")), data, 0, kCount + 7);
}

TEST_F(IdMaps, GofersHaveRightsOverTheContainersIdsAlone) {
  if (PlainRuntime()) GTEST_SKIP() << "without LISAFS";
  Bundle mapped = MappedBundle("mapped"), read_only = BusyboxBundle("read-only"), plain = BusyboxBundle("plain");
  read_only.config()["root"]["readonly"] = true;
  for (Bundle* bundle : {&mapped, &read_only, &plain}) {
    WriteFile(bundle->rootfs() + "/secret", "the host's", 0600);
    ASSERT_EQ(chown((bundle->rootfs() + "/secret").c_str(), 7, 7), 0);
    bundle->SetScript("sleep 1000");
  }
  Container with(*this, mapped, Id("with")), reads(*this, read_only, Id("reads")), writes(*this, plain, Id("writes"));
  auto gofer = [&](const Container& container, const std::string& file) {
    return "/proc/" + std::to_string(Sandbox(container.id()).value("goferPid", 0)) + "/" + file;
  };
  auto ids = [&](const Container& container, const char* file) {
    std::istringstream text(ReadFile(gofer(container, file)).value_or(""));
    std::string words, word;
    while (text >> word) words += word + " ";
    return words;
  };
  for (const char* file : {"uid_map", "gid_map"}) {
    EXPECT_EQ(ids(with, file), "100000 100000 65536 ");
    EXPECT_EQ(ids(reads, file), "0 0 4294967295 ");
  }
  auto own_namespace = [&](const Container& container) {
    return std::filesystem::read_symlink(gofer(container, "ns/user")) !=
           std::filesystem::read_symlink("/proc/self/ns/user");
  };
  EXPECT_TRUE(own_namespace(with));
  EXPECT_TRUE(own_namespace(reads));
  EXPECT_FALSE(own_namespace(writes));
  EXPECT_THAT(with.Exec("cat /secret").err, HasSubstr("Permission denied"));
  EXPECT_EQ(reads.Exec("cat /secret").out, "the host's");
  EXPECT_EQ(writes.Exec("cat /secret").out, "the host's");

  // lisafsd still sees what it serves.
  Ran recorded = Control({"record", with.id(), "/", "--seconds", "1"});
  EXPECT_TRUE(recorded.ok()) << recorded;

  // Of mounts that come later, too.
  const std::string data = Data("data", kFirst, 7);
  Ran added = Control({"mount", "add", with.id(), data, "/data", "--create"});
  ASSERT_TRUE(added.ok()) << added;
  EXPECT_EQ(with.Exec("cd /data; stat -c %u:%g user; echo x > made; stat -c %u:%g made").out, "1000:1000\n0:0\n");
  EXPECT_EQ(Owner(data + "/made"), "100000:100000");
  EXPECT_EQ(Owner(mapped.rootfs() + "/data"), "100000:100000");
  EXPECT_TRUE(Control({"mount", "remove", with.id(), "/data"}).ok());
}

// What an operator adds: the map is from ids on the host's disk to the host's, which a container's namespace maps on.
TEST_F(IdMaps, OfMountsThatAreAddedWhileTheContainerRuns) {
  if (PlainRuntime()) GTEST_SKIP() << "without LISAFS";
  constexpr uint32_t kOnDisk = 200'000, kForeign = 300'000;
  const std::string first = std::to_string(kOnDisk) + "-", count = "-" + std::to_string(kCount);
  auto add = [&](const Container& container, const std::string& data, uint32_t id) {
    const std::string range = first + std::to_string(id) + count;
    return Control(
        {"mount", "add", container.id(), data, "/data", "--create", "-o", "idmap=uids=" + range + ";gids=" + range});
  };
  {
    const std::string data = Data("mapped-data", kOnDisk, kForeign);
    Bundle bundle = MappedBundle("mapped");
    bundle.SetScript("sleep 1000");
    Container container(*this, bundle, Id("mapped"));
    Ran added = add(container, data, kFirst);
    ASSERT_TRUE(added.ok()) << added;
    EXPECT_THAT(Control({"mounts", container.id()}).out, HasSubstr("idmap"));
    ExpectWorked(container.Exec(kWork), data, kOnDisk, kForeign);
    EXPECT_TRUE(Control({"mount", "remove", container.id(), "/data"}).ok());
    EXPECT_EQ(container.Exec("ls -A /data").out, "");
  }
  const std::string data = Data("plain-data", kOnDisk, kForeign);
  Bundle bundle = BusyboxBundle("plain");
  bundle.SetScript("sleep 1000");
  Container container(*this, bundle, Id("plain"));
  Ran added = add(container, data, 0);
  ASSERT_TRUE(added.ok()) << added;
  Ran ran = container.Exec(
      "cd /data; stat -c '%n %u:%g' mine user foreign; echo made > made; chown 5:6 made; stat -c %u:%g made");
  EXPECT_EQ(ran.out, "mine 0:0\nuser 1000:1000\nforeign 65534:65534\n5:6\n") << ran;
  EXPECT_EQ(Owner(data + "/made"), std::to_string(kOnDisk + 5) + ":" + std::to_string(kOnDisk + 6));
}

}  // namespace
}  // namespace lisafs::tests
