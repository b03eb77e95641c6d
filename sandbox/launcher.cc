#include "sandbox/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/escape.h"
#include "base/status.h"

namespace lisafs {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Inherited descriptors get the numbers from here up.
constexpr int kFirstDescriptor = STDERR_FILENO + 1;
// How long a program that was killed may take to be gone. It is not stuck in a request to itself: it serves nothing
// yet.
constexpr auto kKillPatience = milliseconds(5000);
// How long a program that is given up may take to say which process it goes on as: it does that first.
constexpr auto kPidPatience = milliseconds(1000);
// A pid and a word.
constexpr size_t kMaxReadyBytes = 64;

void KillAndReap(std::optional<Process>& process) {
  if (!process) return;
  process->Kill();
  process->Wait(kKillPatience);
  process.reset();
}

// Every descriptor under a number that no program's descriptor will have, so that putting one in its place cannot close
// another.
absl::StatusOr<std::vector<Fd>> MoveOutOfTheWay(std::vector<Fd> descriptors) {
  int first_free = kFirstDescriptor + static_cast<int>(descriptors.size());
  for (Fd& fd : descriptors) {
    if (fd.get() >= first_free) continue;
    fd = Fd(fcntl(fd.get(), F_DUPFD_CLOEXEC, first_free));
    if (!fd) return ErrnoStatus(errno, "dup");
  }
  return descriptors;
}

}  // namespace

int Command::Give(Fd fd) {
  descriptors_.push_back(std::move(fd));
  return kFirstDescriptor + static_cast<int>(descriptors_.size()) - 1;
}

absl::StatusOr<Launch> Launch::Spawn(Command command, ProgramLog& log) {
  auto output = log.OpenForProgram();
  if (!output.ok()) return output.status();
  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe");
  Fd ready(pipe_ends[0]);
  command.Add("--ready-fd");
  command.Add(absl::StrCat(command.Give(Fd(pipe_ends[1]))));
  auto descriptors = MoveOutOfTheWay(std::move(command.descriptors_));
  if (!descriptors.ok()) return descriptors.status();

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  absl::Cleanup destroy_actions = [&] { posix_spawn_file_actions_destroy(&actions); };
  // The output first, since its number is not out of the way.
  posix_spawn_file_actions_adddup2(&actions, output->get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output->get(), STDERR_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  for (size_t i = 0; i < descriptors->size(); ++i) {
    posix_spawn_file_actions_adddup2(&actions, (*descriptors)[i].get(), kFirstDescriptor + static_cast<int>(i));
  }
  posix_spawn_file_actions_addchdir_np(&actions, "/");

  // A daemon blocks and ignores signals that its programs should have.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  absl::Cleanup destroy_attributes = [&] { posix_spawnattr_destroy(&attributes); };
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

  std::vector<char*> argv = {command.path_.data()};
  for (std::string& argument : command.arguments_) argv.push_back(argument.data());
  argv.push_back(nullptr);
  char* environment[] = {nullptr};

  pid_t pid;
  int error = posix_spawn(&pid, command.path_.c_str(), &actions, &attributes, argv.data(), environment);
  if (error != 0) return absl::FailedPreconditionError(ErrnoStatus(error, command.path_).message());
  auto process = Process::OfChild(pid);
  if (!process.ok()) return process.status();
  return Launch(*std::move(process), std::move(ready), &log);
}

// Written out since an optional that was moved from still has a value.
Launch::Launch(Launch&& other) noexcept
    : first_(std::exchange(other.first_, std::nullopt)),
      lasting_(std::exchange(other.lasting_, std::nullopt)),
      ready_(std::move(other.ready_)),
      log_(other.log_),
      received_(std::move(other.received_)) {}

Launch::~Launch() {
  // Killed before it could say what process it started, it would leave one that nobody reaps.
  if (first_ && !lasting_) ReadPid(steady_clock::now() + kPidPatience, [] { return false; }).IgnoreError();
  KillAndReap(first_);
  KillAndReap(lasting_);
}

absl::StatusOr<Process> Launch::AwaitReady(steady_clock::time_point deadline, absl::FunctionRef<bool()> cancelled) {
  LISAFS_RETURN_IF_NOT_OK(ReadPid(deadline, cancelled));
  auto ready_line = ReadLine(deadline, cancelled);
  if (!ready_line.ok()) return ready_line.status();
  if (*ready_line != "ready") {
    return absl::FailedPreconditionError(absl::StrCat("it said \"", Escape(*ready_line), "\" instead of ready"));
  }
  // It exits as soon as it has said the pid.
  if (!first_->Wait(kKillPatience)) return absl::FailedPreconditionError("its first process does not exit");
  first_.reset();
  Process process = *std::move(lasting_);
  lasting_.reset();
  return process;
}

absl::Status Launch::ReadPid(steady_clock::time_point deadline, absl::FunctionRef<bool()> cancelled) {
  auto line = ReadLine(deadline, cancelled);
  if (!line.ok()) return line.status();
  pid_t pid;
  if (!absl::SimpleAtoi(*line, &pid) || pid <= 0) {
    return absl::FailedPreconditionError(absl::StrCat("it said \"", Escape(*line), "\" instead of a process id"));
  }
  auto lasting = Process::OfChild(pid);
  if (!lasting.ok()) return lasting.status();
  lasting_ = *std::move(lasting);
  return absl::OkStatus();
}

absl::StatusOr<std::string> Launch::ReadLine(steady_clock::time_point deadline, absl::FunctionRef<bool()> cancelled) {
  constexpr auto kBetweenQuestions = milliseconds(50);
  while (true) {
    if (size_t end = received_.find('\n'); end != std::string::npos) {
      std::string line = received_.substr(0, end);
      received_.erase(0, end + 1);
      return line;
    }
    if (received_.size() > kMaxReadyBytes) return absl::FailedPreconditionError("it says too much when it starts");
    if (cancelled()) return absl::CancelledError("the caller gave up");
    if (steady_clock::now() >= deadline) return absl::FailedPreconditionError("not ready in time");

    pollfd readable{.fd = ready_.get(), .events = POLLIN};
    if (poll(&readable, 1, kBetweenQuestions.count()) <= 0) continue;
    char bytes[kMaxReadyBytes];
    ssize_t size = read(ready_.get(), bytes, sizeof bytes);
    if (size > 0) {
      received_.append(bytes, size);
    } else if (size == 0) {
      // Both processes have closed the pipe, so what they had to say is in the log.
      log_->Collect();
      std::string why = log_->LastLine();
      if (why.empty()) {
        std::optional<Process>& last = lasting_ ? lasting_ : first_;
        auto end = last->Wait(kKillPatience);
        why = end ? end->ToString() : "closed the ready pipe";
        if (end) last.reset();
      }
      return absl::FailedPreconditionError(why);
    } else if (errno != EINTR && errno != EAGAIN) {
      return ErrnoStatus(errno, "ready pipe");
    }
  }
}

}  // namespace lisafs
