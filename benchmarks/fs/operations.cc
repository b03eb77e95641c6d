// Does one kind of file operation after another in a directory and prints what each took. Linked statically, so that it
// runs inside any container.
//
// usage: operations prepare DIR PROCESSES FILES   makes the trees that the cold operations find
//        operations cold DIR PROCESSES FILES      operations on such trees, of which nobody has seen anything yet
//        operations warm DIR PROCESSES FILES      makes trees, operates on them and removes them
//        operations time COMMAND...               runs a command and prints how long it took
//
// One line for each operation: its name, a space, microseconds per operation; of a listing, per entry. With several
// processes that is the time until the last was done, over the number of operations that all did together.
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

namespace {

constexpr size_t kFileSize = 4096;

[[noreturn]] void Die(const std::string& what) {
  fprintf(stderr, "operations: %s: %s\n", what.c_str(), strerror(errno));
  // Not exit: the other processes must not wait for this one.
  kill(0, SIGKILL);
  _exit(1);
}

void Check(bool done, const std::string& what) {
  if (!done) Die(what);
}

uint64_t Now() {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count());
}

// One process's part of the tree: directories of files named by number. Operations are on the files of one of them.
class Part {
 public:
  Part(const std::string& directory, int process, int files)
      : directory_(directory + "/" + std::to_string(process)), files_(files) {}

  int files() const { return files_; }
  void Enter(const char* directory) { current_ = directory_ + "/" + directory; }

  void MakeRoot() { Check(mkdir(directory_.c_str(), 0755) == 0, "mkdir " + directory_); }
  void RemoveRoot() { Check(rmdir(directory_.c_str()) == 0, "rmdir " + directory_); }
  void MakeDirectory() { Check(mkdir(current_.c_str(), 0755) == 0, "mkdir " + current_); }
  void RemoveDirectory() { Check(rmdir(current_.c_str()) == 0, "rmdir " + current_); }

  void Mkdir(int i) { Check(mkdir(Name(i).c_str(), 0755) == 0, "mkdir"); }
  void Rmdir(int i) { Check(rmdir(Name(i).c_str()) == 0, "rmdir"); }
  void Create(int i) { Close(Open(i, O_CREAT | O_EXCL | O_WRONLY)); }
  void Fill(int i) {
    static const char data[kFileSize] = {'x'};
    const int fd = Open(i, O_CREAT | O_WRONLY);
    Check(write(fd, data, sizeof data) == sizeof data, "write");
    Close(fd);
  }
  void Stat(int i) {
    struct stat stat;
    Check(lstat(Name(i).c_str(), &stat) == 0, "stat");
  }
  void OpenAndClose(int i) { Close(Open(i, O_RDONLY)); }
  void Read(int i) {
    char data[kFileSize];
    const int fd = Open(i, O_RDONLY);
    Check(read(fd, data, sizeof data) == sizeof data, "read");
    Close(fd);
  }
  void Chmod(int i) { Check(chmod(Name(i).c_str(), 0600) == 0, "chmod"); }
  void Rename(int i) { Check(rename(Name(i).c_str(), (Name(i) + ".renamed").c_str()) == 0, "rename"); }
  void RenameBack(int i) { Check(rename((Name(i) + ".renamed").c_str(), Name(i).c_str()) == 0, "rename"); }
  void Unlink(int i) { Check(unlink(Name(i).c_str()) == 0, "unlink"); }
  void List() {
    DIR* listing = opendir(current_.c_str());
    Check(listing != nullptr, "opendir " + current_);
    int entries = 0;
    while (readdir(listing) != nullptr) ++entries;
    closedir(listing);
    errno = ENODATA;
    Check(entries >= files_, "list");
  }

 private:
  std::string Name(int i) const { return current_ + "/" + std::to_string(i); }
  int Open(int i, int flags) {
    const int fd = open(Name(i).c_str(), flags, 0644);
    Check(fd >= 0, "open");
    return fd;
  }
  void Close(int fd) { Check(close(fd) == 0, "close"); }

  const std::string directory_;
  const int files_;
  std::string current_;
};

struct Step {
  const char* name;  // Nothing is printed of one without a name.
  const char* directory;
  std::function<void(Part&)> run;
  int times = 1;  // How often it does its work for each file.
};

Step EachFile(const char* name, const char* directory, void (Part::*operation)(int)) {
  return {name, directory, [operation](Part& part) {
            for (int i = 0; i < part.files(); ++i) (part.*operation)(i);
          }};
}
Step Whole(const char* name, const char* directory, void (Part::*operation)(), int times = 1) {
  return {name, directory,
          [operation, times](Part& part) {
            for (int i = 0; i < times; ++i) (part.*operation)();
          },
          times};
}

using Steps = std::vector<Step>;

Steps Prepare() {
  Steps steps = {Whole(nullptr, "", &Part::MakeRoot)};
  for (const char* directory : {"stat", "open", "read", "list", "chmod", "rename", "unlink"}) {
    steps.push_back(Whole(nullptr, directory, &Part::MakeDirectory));
    steps.push_back(EachFile(nullptr, directory, &Part::Fill));
  }
  for (const char* directory : {"mkdir", "create"}) {
    steps.push_back(Whole(nullptr, directory, &Part::MakeDirectory));
  }
  return steps;
}

// Each on files that no other has touched.
Steps Cold() {
  return {
      EachFile("stat", "stat", &Part::Stat),       EachFile("open", "open", &Part::OpenAndClose),
      EachFile("read", "read", &Part::Read),       Whole("list", "list", &Part::List),
      EachFile("chmod", "chmod", &Part::Chmod),    EachFile("rename", "rename", &Part::Rename),
      EachFile("unlink", "unlink", &Part::Unlink), EachFile("mkdir", "mkdir", &Part::Mkdir),
      EachFile("create", "create", &Part::Create),
  };
}

// Each on files that have just been used.
Steps Warm() {
  constexpr int kLists = 10;
  constexpr const char* kDirectory = "warm";
  return {
      Whole(nullptr, "", &Part::MakeRoot),
      Whole(nullptr, kDirectory, &Part::MakeDirectory),
      EachFile("mkdir", kDirectory, &Part::Mkdir),
      EachFile("rmdir", kDirectory, &Part::Rmdir),
      EachFile("create", kDirectory, &Part::Create),
      EachFile(nullptr, kDirectory, &Part::Fill),
      EachFile(nullptr, kDirectory, &Part::Stat),
      EachFile("stat", kDirectory, &Part::Stat),
      EachFile("open", kDirectory, &Part::OpenAndClose),
      EachFile(nullptr, kDirectory, &Part::Read),
      EachFile("read", kDirectory, &Part::Read),
      Whole(nullptr, kDirectory, &Part::List),
      Whole("list", kDirectory, &Part::List, kLists),
      EachFile("chmod", kDirectory, &Part::Chmod),
      EachFile("rename", kDirectory, &Part::Rename),
      EachFile(nullptr, kDirectory, &Part::RenameBack),
      EachFile("unlink", kDirectory, &Part::Unlink),
      Whole(nullptr, kDirectory, &Part::RemoveDirectory),
      Whole(nullptr, "", &Part::RemoveRoot),
  };
}

void RunSteps(const Steps& steps, const std::string& directory, int processes, int files) {
  void* shared = mmap(nullptr, sizeof(pthread_barrier_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  Check(shared != MAP_FAILED, "mmap");
  auto* barrier = static_cast<pthread_barrier_t*>(shared);
  pthread_barrierattr_t attributes;
  pthread_barrierattr_init(&attributes);
  pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_barrier_init(barrier, &attributes, static_cast<unsigned>(processes));

  // This process is the first one.
  int process = 0;
  for (int i = 1; i < processes && process == 0; ++i) {
    const pid_t pid = fork();
    Check(pid >= 0, "fork");
    if (pid == 0) process = i;
  }
  Part part(directory, process, files);
  for (const Step& step : steps) {
    pthread_barrier_wait(barrier);
    part.Enter(step.directory);
    const uint64_t begin = Now();
    step.run(part);
    pthread_barrier_wait(barrier);
    if (process != 0 || step.name == nullptr) continue;
    const double count = static_cast<double>(processes) * files * step.times;
    printf("%s %.3f\n", step.name, static_cast<double>(Now() - begin) / 1000 / count);
  }
  if (process != 0) _exit(0);
  for (int i = 1; i < processes; ++i) {
    int status = 0;
    Check(wait(&status) > 0 && status == 0, "a process");
  }
}

int Time(char** command) {
  const uint64_t begin = Now();
  const pid_t pid = fork();
  Check(pid >= 0, "fork");
  if (pid == 0) {
    // What it says is no result.
    dup2(STDERR_FILENO, STDOUT_FILENO);
    execvp(command[0], command);
    fprintf(stderr, "operations: %s: %s\n", command[0], strerror(errno));
    _exit(127);
  }
  int status = 0;
  Check(waitpid(pid, &status, 0) == pid, "wait");
  printf("time %.0f\n", static_cast<double>(Now() - begin) / 1000);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int Main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "time" && argc > 2) return Time(argv + 2);
  if (argc != 5 || (what != "prepare" && what != "cold" && what != "warm")) {
    fprintf(stderr, "usage: operations prepare|cold|warm DIR PROCESSES FILES\n       operations time COMMAND...\n");
    return 2;
  }
  const int processes = atoi(argv[3]), files = atoi(argv[4]);
  if (processes < 1 || files < 1) {
    fprintf(stderr, "operations: PROCESSES and FILES are numbers from 1 up\n");
    return 2;
  }
  // So that kill(0) ends these processes only.
  setpgid(0, 0);
  RunSteps(what == "prepare" ? Prepare() : what == "cold" ? Cold() : Warm(), argv[2], processes, files);
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return Main(argc, argv); }
