#include "tests/fuzz/scratch_tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

namespace lisafs::fuzz {

ScratchTree::ScratchTree(Fd mount)
    : mount_(std::move(mount)), path_("/proc/self/fd/" + std::to_string(mount_.get()) + "/") {}

Result<ScratchTree> ScratchTree::Make() {
  Fd context(fsopen("tmpfs", FSOPEN_CLOEXEC));
  if (!context) return FailWithErrno();
  auto set = [&](const char* key, const char* value) {
    return fsconfig(context.get(), FSCONFIG_SET_STRING, key, value, 0) == 0;
  };
  if (!set("size", "16m") || !set("nr_inodes", "500") || !set("mode", "0755")) return FailWithErrno();
  if (fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) return FailWithErrno();
  Fd mount(fsmount(context.get(), FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID));
  if (!mount) return FailWithErrno();
  return ScratchTree(std::move(mount));
}

Fd ScratchTree::Root() const { return Fd(openat(mount_.get(), ".", O_PATH | O_DIRECTORY | O_CLOEXEC)); }

void ScratchTree::Refill() {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(path_, ignored)) {
    std::filesystem::remove_all(entry.path(), ignored);
  }
  auto file = [&](const char* name) {
    Fd fd(open(Path(name).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    if (write(fd.get(), "content", 7) != 7) perror("scratch tree");
  };
  mkdir(Path("d").c_str(), 0755);
  mkdir(Path("d/e").c_str(), 0755);
  file("f");
  file("d/g");
  bool made = symlink("d", Path("l").c_str()) == 0 && symlink("nowhere", Path("b").c_str()) == 0 &&
              mknod(Path("p").c_str(), S_IFIFO | 0600, 0) == 0 && mknod(Path("s").c_str(), S_IFSOCK | 0600, 0) == 0;
  if (!made) perror("scratch tree");
}

void ScratchTree::ChangeFromHost(unsigned choice) {
  std::error_code ignored;
  switch (choice % 6) {
    case 0:
      std::filesystem::remove_all(Path("d"), ignored);
      break;
    case 1:
      std::filesystem::rename(Path("d"), Path("d2"), ignored);
      std::filesystem::create_symlink("/", Path("d"), ignored);
      break;
    case 2:
      std::filesystem::rename(Path("f"), Path("d/f"), ignored);
      break;
    case 3:
      std::filesystem::create_directory(Path("a"), ignored);
      break;
    case 4:
      std::filesystem::remove(Path("l"), ignored);
      break;
    case 5:
      std::filesystem::resize_file(Path("f"), 0, ignored);
      break;
  }
}

}  // namespace lisafs::fuzz
