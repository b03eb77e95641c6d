#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <string>

#include "tests/differential/say.h"
#include "tests/differential/scenario.h"

// Files that are run, and those that lead to other processes: FIFOs, sockets.

namespace lisafs::differential {
namespace {

void CopySelf(const std::string& path, mode_t mode) {
  int in = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), out = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
  struct stat stat;
  Check(in >= 0 && out >= 0 && fstat(in, &stat) == 0, "this program");
  off_t left = stat.st_size;
  while (left > 0) {
    ssize_t n = sendfile(out, in, nullptr, static_cast<size_t>(left));
    Check(n > 0, "copying");
    left -= n;
  }
  Check(fchmod(out, mode) == 0 && close(out) == 0 && close(in) == 0, "a program");
}

void Run(const std::string& path) {
  InChild([&] {
    execl(path.c_str(), path.c_str(), "ids", nullptr);
    Say("exec " + path, -1);
  });
}

void Running() {
  CopySelf("program", 0755);
  Run("./program");
  for (mode_t mode : {0644, 0100, 0111, 0}) {
    Check(chmod("program", mode) == 0, "chmod");
    SayText("mode", std::to_string(mode));
    Run("./program");
    As(1000, [] { Run("./program"); });
  }
  Check(chmod("program", 0755) == 0, "chmod");
  MakeLink("link", "program");
  Run("./link");
  MakeDirectory("dir", 0755);
  Run("./dir");
  Run("./missing");
  MakeFile("script", "#!./program ids\n", 0755);
  Run("./script");
  MakeFile("orphan", "#!/no/such/interpreter\n", 0755);
  Run("./orphan");
  MakeFile("nonsense", "no program at all", 0755);
  Run("./nonsense");
  MakeFile("empty", "", 0755);
  Run("./empty");
  int fd = open("program", O_PATH | O_CLOEXEC);
  InChild([fd] {
    char name[] = "program", ids[] = "ids", *arguments[] = {name, ids, nullptr}, *none[] = {nullptr};
    Say("execveat", syscall(SYS_execveat, fd, "", arguments, none, AT_EMPTY_PATH));
  });
  Check(unlink("program") == 0, "unlink");
  Run("/proc/self/fd/" + std::to_string(fd));
}

// Who runs a program with set-id bits, and what a write leaves of them.
void SetIdPrograms() {
  CopySelf("program", 0755);
  struct Kind {
    uid_t owner;
    mode_t mode;
  };
  for (Kind kind : {Kind{0, 04755}, Kind{0, 02755}, Kind{2000, 06755}, Kind{2000, 02745}, Kind{1000, 04755}}) {
    Check(chown("program", kind.owner, kind.owner) == 0 && chmod("program", kind.mode) == 0, "bits");
    SayStat("program");
    Run("./program");
    As(1000, [] { Run("./program"); });
  }
  Check(chown("program", 0, 0) == 0 && chmod("program", 06777) == 0, "bits");
  As(1000, [] {
    int fd = open("program", O_WRONLY | O_APPEND | O_CLOEXEC);
    Say("write", write(fd, "x", 1));
    close(fd);
    Run("./program");
  });
  SayStat("program");
}

// With a capability that every container's root has.
void Capabilities() {
  CopySelf("program", 0755);
  vfs_cap_data data = {};
  data.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE;
  data.data[0].permitted = 1u << CAP_CHOWN;
  SayOk("set", setxattr("program", "security.capability", &data, sizeof data, 0));
  vfs_ns_cap_data got = {};
  ssize_t n = getxattr("program", "security.capability", &got, sizeof got);
  SayData("get", &got, n);
  char list[100];
  n = listxattr("program", list, sizeof list);
  SayData("list", list, n);
  Run("./program");
  As(1000, [&data] {
    Run("./program");
    SayOk("set", setxattr("program", "security.capability", &data, sizeof data, 0));
    SayOk("remove", removexattr("program", "security.capability"));
  });
  SayOk("set what makes no sense", setxattr("program", "security.capability", "x", 1, 0));
  SayOk("chown takes them away", chown("program", 1000, 1000));
  Say("get", getxattr("program", "security.capability", &got, sizeof got));
  SayOk("set", setxattr("program", "security.capability", &data, sizeof data, 0));
  int fd = open("program", O_WRONLY | O_APPEND | O_CLOEXEC);
  Say("a write takes them away", write(fd, "x", 1));
  close(fd);
  Say("get", getxattr("program", "security.capability", &got, sizeof got));
  SayOk("set", setxattr("program", "security.capability", &data, sizeof data, 0));
  SayOk("remove", removexattr("program", "security.capability"));
  Say("get", getxattr("program", "security.capability", &got, sizeof got));
}

// A program that runs is not written to, and one that is written to does not run.
void Busy() {
  CopySelf("program", 0755);
  int fd = open("program", O_RDWR | O_CLOEXEC);
  Run("./program");
  close(fd);
  int ends[2];
  Check(pipe(ends) == 0, "a pipe");
  pid_t child = fork();
  if (child == 0) {
    dup2(ends[0], STDIN_FILENO);
    close(ends[1]);
    execl("./program", "program", "wait", nullptr);
    _exit(1);
  }
  close(ends[0]);
  for (int i = 0; i < 500; ++i) {  // Until it runs.
    std::string exe(200, '\0');
    ssize_t n = readlink(("/proc/" + std::to_string(child) + "/exe").c_str(), exe.data(), exe.size());
    if (n > 0 && exe.substr(0, static_cast<size_t>(n)).ends_with("busy/program")) break;
    usleep(10'000);
  }
  SayOk("open for writing", open("program", O_WRONLY | O_CLOEXEC));
  SayOk("open truncating", open("program", O_WRONLY | O_TRUNC | O_CLOEXEC));
  Say("truncate", truncate("program", 0));
  SayOk("open for reading", open("program", O_RDONLY | O_CLOEXEC));
  SayOk("chmod", chmod("program", 0700));
  SayOk("rename", rename("program", "renamed"));
  SayOk("unlink", unlink("renamed"));
  close(ends[1]);
  int status = 0;
  waitpid(child, &status, 0);
  Say("it ended with", status);
}

void Fifos() {
  SayOk("mkfifo", mkfifo("fifo", 0640));
  SayStat("fifo");
  SayOk("without a reader", open("fifo", O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  pid_t child = fork();
  if (child == 0) {
    int out = open("fifo", O_WRONLY | O_CLOEXEC);
    for (int i = 0; i < 100; ++i) {
      if (write(out, "0123456789", 10) != 10) _exit(1);
    }
    _exit(0);
  }
  int in = open("fifo", O_RDONLY | O_CLOEXEC);
  std::string all;
  char buffer[64];
  ssize_t n;
  while ((n = read(in, buffer, sizeof buffer)) > 0) all.append(buffer, static_cast<size_t>(n));
  waitpid(child, nullptr, 0);
  SayData("what came", all.data(), static_cast<ssize_t>(all.size()));
  int both = open("fifo", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  Say("nothing in it", read(both, buffer, sizeof buffer));
  Say("seek", lseek(both, 0, SEEK_SET));
  Say("truncate", truncate("fifo", 0));
  Check(rename("fifo", "renamed") == 0, "rename");
  int writer = SayOk("by its new name", open("renamed", O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  Say("write", write(writer, "renamed", 7));
  Say("read", read(both, buffer, sizeof buffer));
  Check(link("renamed", "linked") == 0, "link");
  writer = SayOk("by another name", open("linked", O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  Say("write", write(writer, "linked", 6));
  Say("read", read(both, buffer, sizeof buffer));
  As(1000, [] { SayOk("as another", open("renamed", O_RDONLY | O_NONBLOCK | O_CLOEXEC)); });
}

void Sockets() {
  for (int type : {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET}) {
    std::string name = "socket" + std::to_string(type);
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    memcpy(address.sun_path, name.c_str(), name.size());
    auto* where = reinterpret_cast<sockaddr*>(&address);
    int server = socket(AF_UNIX, type | SOCK_CLOEXEC, 0), client = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    SayOk("bind", bind(server, where, sizeof address));
    SayStat(name);
    SayOk("bind again", bind(client, where, sizeof address));
    SayOk("connect too early", type == SOCK_DGRAM ? 0 : connect(client, where, sizeof address));
    if (type != SOCK_DGRAM) SayOk("listen", listen(server, 5));
    SayOk("connect", connect(client, where, sizeof address));
    Say("send", send(client, "hello", 5, 0));
    int accepted = type == SOCK_DGRAM ? server : accept4(server, nullptr, nullptr, SOCK_CLOEXEC);
    char buffer[10];
    Say("receive", recv(accepted, buffer, sizeof buffer, 0));
    SayOk("open", open(name.c_str(), O_RDWR | O_CLOEXEC));
    Check(rename(name.c_str(), "renamed") == 0, "rename");
    int second = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    SayOk("connect to what has no name", connect(second, where, sizeof address));
    memcpy(address.sun_path, "renamed", 8);
    SayOk("connect by its new name", connect(second, where, sizeof address));
    SayOk("chmod", chmod("renamed", 0700));
    As(1000, [&] {
      int third = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
      SayOk("connect as another", connect(third, where, sizeof address));
    });
    for (int fd : {server, client, accepted, second}) close(fd);
    int late = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    SayOk("connect when nobody is there", connect(late, where, sizeof address));
    SayOk("unlink", unlink("renamed"));
  }
}

void Watching() {
  MakeDirectory("dir");
  MakeFile("dir/old", "x");
  int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  SayOk("watch", inotify_add_watch(watch, "dir", IN_ALL_EVENTS) >= 0 ? 0 : -1);
  MakeFile("dir/file", "content");
  Check(rename("dir/file", "dir/renamed") == 0 && chmod("dir/renamed", 0600) == 0, "changes");
  Check(unlink("dir/old") == 0 && mkdir("dir/sub", 0700) == 0 && link("dir/renamed", "dir/linked") == 0, "changes");
  alignas(inotify_event) char buffer[8192];
  ssize_t n = read(watch, buffer, sizeof buffer);
  for (ssize_t at = 0; at < n;) {
    const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
    char mask[20];
    snprintf(mask, sizeof mask, "%x", event->mask);
    SayText("event", std::string(mask) + " " + (event->len > 0 ? event->name : ""));
    at += static_cast<ssize_t>(sizeof *event + event->len);
  }
}

}  // namespace

int SayIds() {
  uid_t real, effective, saved;
  gid_t real_group, effective_group, saved_group;
  getresuid(&real, &effective, &saved);
  getresgid(&real_group, &effective_group, &saved_group);
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  syscall(SYS_capget, &header, data);
  SayText("it runs as", std::to_string(real) + " " + std::to_string(effective) + " " + std::to_string(saved) + ", " +
                            std::to_string(real_group) + " " + std::to_string(effective_group) + " " +
                            std::to_string(saved_group) +
                            (data[0].effective & (1u << CAP_CHOWN) ? ", may give files away" : ""));
  return 0;
}

Group ProgramScenarios() {
  return {"programs",
          {{"running", Running},
           {"set-id-programs", SetIdPrograms},
           {"capabilities", Capabilities},
           {"busy", Busy},
           {"fifos", Fifos},
           {"sockets", Sockets},
           {"watching", Watching}}};
}

}  // namespace lisafs::differential
