// What a container runs to see what no shell command shows. Linked statically: it runs on any root.
//
//   probe euid                  prints the effective user id
//   probe mmap-write FILE TEXT  writes TEXT to the start of FILE through a shared mapping, and stays until input ends
//   probe mmap-wait FILE TEXT   waits until a shared mapping of FILE begins with TEXT; 10 s at most
//   probe mmap-add FILE N       adds 1 to the number at the start of FILE, N times, atomically in a shared mapping
//   probe open DIRECTORY N      makes and keeps open N files there, or as many as it can, and prints why it stopped;
//   then
//                               closes and removes them
//   probe connect FILE          prints what whoever listens on the unix socket says
//   probe lock FILE             locks FILE and keeps it so, or prints that it is taken
//   probe eat MEGABYTES         uses that much memory
//   probe attack PID            prints what of another process it can read, trace or take, one a line
//   probe acl FILE [UID]        gives UID rights to FILE by an ACL; without UID prints who has them
//   probe filecap FILE [set]    gives FILE a capability; prints whose root has it, or "own" if that is the caller's
//   probe watch PATH...         prints "watching", and then what inotify tells of these: the time in microseconds, the
//                               place of the path among the arguments, what happened, the cookie, the name
//   probe create FILE N         opens FILE, making it if need be, and removes it, N times; prints each open that failed

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <vector>

namespace {

constexpr size_t kLength = 4096;

char* MapShared(const char* path) {
  int fd = open(path, O_RDWR | O_CLOEXEC);
  void* memory = fd < 0 ? MAP_FAILED : mmap(nullptr, kLength, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) {
    perror(path);
    exit(1);
  }
  close(fd);
  return static_cast<char*>(memory);
}

int WaitForText(const char* memory, const char* text) {
  for (int i = 0; i < 1000; i++) {
    if (memcmp(memory, text, strlen(text)) == 0) return 0;
    usleep(10'000);
  }
  return 1;
}

int CreateAndRemove(const char* path, int times) {
  int failed = 0;
  for (int i = 0; i < times; i++) {
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) {
      printf("%s: %s\n", path, strerror(errno));
      failed++;
    }
    close(fd);
    unlink(path);  // Others remove it too.
  }
  return failed == 0 ? 0 : 1;
}

int KeepOpen(const char* directory, int count) {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (chdir(directory) != 0) return 1;
  std::vector<int> open_files;
  errno = 0;
  while (static_cast<int>(open_files.size()) < count) {
    int fd = open(std::to_string(open_files.size()).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) break;
    open_files.push_back(fd);
  }
  printf("%s\n", strerrorname_np(errno));
  fprintf(stderr, "%zu open\n", open_files.size());
  for (size_t i = 0; i < open_files.size(); i++) {
    if (write(open_files[i], "x", 1) != 1) perror("write");
    close(open_files[i]);
    if (unlink(std::to_string(i).c_str()) != 0) perror("unlink");
  }
  return 0;
}

int Lock(const char* path) {
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  bool locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
  printf("%s\n", locked ? "locked" : errno == EWOULDBLOCK ? "taken" : strerror(errno));
  fflush(stdout);
  while (locked) pause();
  return 1;
}

// As the kernel takes and gives ACLs: what they are for, rights, ids.
int SetAcl(const char* path, uint32_t uid) {
  struct {
    posix_acl_xattr_header header;
    posix_acl_xattr_entry entries[5];
  } acl = {
      {POSIX_ACL_XATTR_VERSION},
      {{ACL_USER_OBJ, 6, ~0U}, {ACL_USER, 6, uid}, {ACL_GROUP_OBJ, 4, ~0U}, {ACL_MASK, 6, ~0U}, {ACL_OTHER, 4, ~0U}}};
  if (setxattr(path, "system.posix_acl_access", &acl, sizeof acl, 0) == 0) return 0;
  perror(path);
  return 1;
}

int PrintAcl(const char* path) {
  struct {
    posix_acl_xattr_header header;
    posix_acl_xattr_entry entries[16];
  } acl;
  ssize_t size = getxattr(path, "system.posix_acl_access", &acl, sizeof acl);
  size_t count = size > 0 ? (size - sizeof acl.header) / sizeof acl.entries[0] : 0;
  for (size_t i = 0; i < count; i++) {
    if (acl.entries[i].e_tag == ACL_USER) printf("%u\n", acl.entries[i].e_id);
  }
  return count > 0 ? 0 : 1;
}

int SetFileCapability(const char* path) {
  vfs_cap_data data = {VFS_CAP_REVISION_2, {{1 << CAP_NET_BIND_SERVICE, 0}, {0, 0}}};
  if (setxattr(path, "security.capability", &data, sizeof data, 0) == 0) return 0;
  perror(path);
  return 1;
}

int PrintFileCapability(const char* path) {
  vfs_ns_cap_data data;
  ssize_t size = getxattr(path, "security.capability", &data, sizeof data);
  if (size == XATTR_CAPS_SZ_3) printf("%u\n", data.rootid);
  if (size == XATTR_CAPS_SZ_2) puts("own");
  return size > 0 ? 0 : 1;
}

int Eat(size_t megabytes) {
  std::vector<char> memory(megabytes << 20, 'x');
  return memory[megabytes] == 'x' ? 0 : 1;
}

void PrintIf(bool worked, const char* what) {
  if (worked) printf("%s\n", what);
}

int AttackProcess(pid_t pid) {
  const std::string proc = "/proc/" + std::to_string(pid) + "/";
  char byte;
  for (const char* name : {"mem", "maps", "environ", "auxv", "stack", "syscall", "fd/0"}) {
    int fd = open((proc + name).c_str(), O_RDONLY | O_CLOEXEC);
    PrintIf(fd >= 0 && (strcmp(name, "mem") == 0 || read(fd, &byte, 1) > 0), name);
    close(fd);
  }
  for (const char* name : {"map_files", "root"}) {
    DIR* directory = opendir((proc + name).c_str());
    int entries = 0;
    while (directory != nullptr && readdir(directory) != nullptr) ++entries;
    PrintIf(entries > 2, name);
    if (directory != nullptr) closedir(directory);
  }
  for (const char* name : {"exe", "cwd", "fd/0", "fd/3", "ns/mnt"})
    PrintIf(readlink((proc + name).c_str(), &byte, 1) > 0, name);
  PrintIf(open((proc + "mem").c_str(), O_RDWR | O_CLOEXEC) >= 0, "mem, to write");
  PrintIf(ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) == 0, "ptrace");
  iovec here = {&byte, 1}, there = {reinterpret_cast<void*>(0x400000), 1};
  PrintIf(process_vm_readv(pid, &here, 1, &there, 1, 0) > 0, "process_vm_readv");
  int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  PrintIf(pidfd >= 0 && syscall(SYS_pidfd_getfd, pidfd, 0, 0) >= 0, "pidfd_getfd");
  PrintIf(pidfd >= 0 && setns(pidfd, CLONE_NEWNS) == 0, "setns");
  return 0;
}

// What inotify tells, a line each, until this is killed.
int Watch(char** paths) {
  constexpr struct {
    uint32_t mask;
    const char* name;
  } kEvents[] = {{IN_CREATE, "create"},           {IN_DELETE, "delete"},           {IN_MOVED_FROM, "moved-from"},
                 {IN_MOVED_TO, "moved-to"},       {IN_MODIFY, "modify"},           {IN_ATTRIB, "attrib"},
                 {IN_MOVE_SELF, "move-self"},     {IN_DELETE_SELF, "delete-self"}, {IN_ISDIR, "dir"},
                 {IN_CLOSE_WRITE, "close-write"}, {IN_Q_OVERFLOW, "overflow"},     {IN_IGNORED, "ignored"},
                 {IN_UNMOUNT, "unmount"}};
  int watcher = inotify_init1(IN_CLOEXEC);
  std::vector<int> watches;
  for (char** path = paths; *path != nullptr; ++path) {
    watches.push_back(inotify_add_watch(watcher, *path, IN_ALL_EVENTS & ~(IN_OPEN | IN_ACCESS | IN_CLOSE_NOWRITE)));
    if (watches.back() < 0) perror(*path);
  }
  printf("watching\n");
  fflush(stdout);
  alignas(inotify_event) static char buffer[1 << 16];
  for (ssize_t size; (size = read(watcher, buffer, sizeof buffer)) > 0;) {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    for (ssize_t at = 0; at < size;) {
      const auto* event = reinterpret_cast<inotify_event*>(buffer + at);
      at += static_cast<ssize_t>(sizeof *event + event->len);
      size_t place = 0;
      while (place < watches.size() && watches[place] != event->wd) ++place;
      printf("%lld %zu ", now.tv_sec * 1'000'000LL + now.tv_nsec / 1000, place);
      bool first = true;
      for (const auto& known : kEvents) {
        if (!(event->mask & known.mask)) continue;
        printf("%s%s", first ? "" : ",", known.name);
        first = false;
      }
      printf(" %u %s\n", event->cookie, event->len > 0 ? event->name : "-");
    }
    fflush(stdout);
  }
  return 1;
}

// Prints what whoever listens on a unix socket says.
int Connect(const char* path) {
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    printf("%s\n", strerror(errno));
    return 1;
  }
  char buffer[100];
  ssize_t n = read(fd, buffer, sizeof buffer);
  return n > 0 && fwrite(buffer, 1, static_cast<size_t>(n), stdout) > 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const char* what = argc > 1 ? argv[1] : "";
  if (strcmp(what, "euid") == 0) {
    printf("%u\n", geteuid());
    return 0;
  }
  if (strcmp(what, "eat") == 0 && argc == 3) return Eat(strtoul(argv[2], nullptr, 10));
  if (strcmp(what, "attack") == 0 && argc == 3) return AttackProcess(atoi(argv[2]));
  if (strcmp(what, "acl") == 0 && argc == 3) return PrintAcl(argv[2]);
  if (strcmp(what, "acl") == 0 && argc == 4) return SetAcl(argv[2], strtoul(argv[3], nullptr, 10));
  if (strcmp(what, "filecap") == 0) return argc == 3 ? PrintFileCapability(argv[2]) : SetFileCapability(argv[2]);
  if (strcmp(what, "connect") == 0 && argc == 3) return Connect(argv[2]);
  if (strcmp(what, "lock") == 0 && argc == 3) return Lock(argv[2]);
  if (strcmp(what, "watch") == 0 && argc > 2) return Watch(argv + 2);
  if (argc != 4) return 2;
  if (strcmp(what, "open") == 0) return KeepOpen(argv[2], atoi(argv[3]));
  if (strcmp(what, "create") == 0) return CreateAndRemove(argv[2], atoi(argv[3]));
  char* memory = MapShared(argv[2]);
  if (strcmp(what, "mmap-write") == 0) {
    memcpy(memory, argv[3], strlen(argv[3]));
    while (getchar() != EOF) continue;
    return 0;
  }
  if (strcmp(what, "mmap-wait") == 0) return WaitForText(memory, argv[3]);
  if (strcmp(what, "mmap-add") == 0) {
    std::atomic_ref<unsigned> number(*reinterpret_cast<unsigned*>(memory));
    for (int i = atoi(argv[3]); i > 0; i--) number.fetch_add(1);
    return 0;
  }
  return 2;
}
