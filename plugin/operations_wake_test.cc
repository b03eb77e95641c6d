// What lisafs-waker is told, and that nothing is done for it.

#include <errno.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "plugin/kernel_caches.h"
#include "plugin/operations_testing.h"
#include "plugin/recording_kernel.h"

namespace lisafs {
namespace {

using testing::ElementsAre;

class WakeTest : public OperationsTest {
 protected:
  static constexpr uint32_t kWaker = 4711, kSomebody = 4712;

  void SetUp() override {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    waker = {.own = Fd(ends[0]), .wakers = Fd(dup(ends[1]))};
    end_ = Fd(ends[1]);
    for (const char* directory : {"d", "e"}) client.Add(directory, S_IFDIR | 0755);
    for (const char* file : {"d/f", "d/g", "e/h"}) client.Add(file, S_IFREG | 0644);
    d_ = LookUp(kRoot, "d");
    e_ = LookUp(kRoot, "e");
    link().Begin();
  }
  std::string Secret() {
    unsigned char bytes[kWakerSecretSize];
    EXPECT_EQ(recv(end_.get(), bytes, sizeof bytes, MSG_DONTWAIT), ssize_t{sizeof bytes});
    std::string digits;
    for (unsigned char byte : bytes) {
      char two[3];
      snprintf(two, sizeof two, "%02x", byte);
      digits += two;
    }
    return kWakerAttribute + digits;
  }
  Answer As(uint32_t who, auto&&... arguments) {
    pid = who;
    Answer answer = Ask(arguments...);
    pid = 0;
    return answer;
  }
  void Introduce() {
    ASSERT_EQ(As(kWaker, FUSE_GETXATTR, kRoot, fuse_getxattr_in{}, Secret()).error, 0);
    ASSERT_TRUE(link().connected());
    client.calls.clear();
  }
  WakerLink& link() { return operations().waker(); }
  NodeRef Known(uint64_t id) { return *operations().nodes().Find(id); }
  Wake Of(WakeAction action, uint64_t directory, const char* name, bool is_directory = false) {
    NodeRef file = operations().nodes().FindChild(*Known(directory), name);
    return {.action = action,
            .is_directory = is_directory,
            .directory = Known(directory),
            .name = name,
            .file = std::move(file)};
  }
  Wake Move(uint64_t from, const char* old_name, uint64_t to, const char* name, bool is_directory = false) {
    Wake wake = Of(WakeAction::kMove, from, old_name, is_directory);
    wake.old_directory = std::move(wake.directory);
    wake.old_name = std::move(wake.name);
    wake.directory = Known(to);
    wake.name = name;
    wake.replaced = operations().nodes().FindChild(*Known(to), name);
    return wake;
  }
  // The next command: its action's number and its paths. Empty if there is none.
  std::string Command() {
    char message[kMaxWakeCommand];
    const ssize_t size = recv(end_.get(), message, sizeof message, MSG_DONTWAIT);
    if (size < static_cast<ssize_t>(sizeof(WakeCommand))) return "";
    WakeCommand command;
    memcpy(&command, message, sizeof command);
    std::string paths(message + sizeof command, size - sizeof command);
    std::string text = std::to_string(static_cast<int>(command.action)) + (command.is_directory ? " directory " : " ");
    if (command.old_size > 0) text += paths.substr(0, command.old_size) + " to ";
    return text + paths.substr(command.old_size);
  }
  // What the kernel was made to forget then.
  std::vector<std::string> Done(int32_t error = 0) {
    EXPECT_EQ(send(end_.get(), &error, sizeof error, 0), ssize_t{sizeof error});
    link().OnReadable(caches_);
    return kernel_.Take();
  }
  // None of the calls that change something was made.
  void ExpectNothingDone() {
    for (Mid mid : {Mid::kMknodAt, Mid::kMkdirAt, Mid::kUnlinkAt, Mid::kRenameAt, Mid::kRenameAt2, Mid::kSetStat,
                    Mid::kSymlinkAt, Mid::kLinkAt, Mid::kOpenCreateAt, Mid::kFSetXattr, Mid::kFRemoveXattr}) {
      EXPECT_EQ(client.calls[mid], 0) << static_cast<int>(mid);
    }
  }
  static fuse_entry_out Entry(const Answer& answer) {
    EXPECT_EQ(answer.error, 0);
    return answer.As<fuse_entry_out>();
  }

  Fd end_;
  RecordingKernel kernel_;
  KernelCaches caches_{kernel_};
  uint64_t d_ = 0, e_ = 0;
};

TEST_F(WakeTest, IsKnownByTheSecretAlone) {
  const std::string secret = Secret();
  const fuse_getxattr_in in = {};
  EXPECT_EQ(As(kSomebody, FUSE_GETXATTR, kRoot, in, std::string(kWakerAttribute)).error, ENODATA);
  EXPECT_EQ(As(kSomebody, FUSE_GETXATTR, kRoot, in, secret.substr(0, secret.size() - 1)).error, ENODATA);
  // The kernel does not say who it is.
  EXPECT_EQ(As(0, FUSE_GETXATTR, kRoot, in, secret).error, ENODATA);
  EXPECT_FALSE(link().connected());
  EXPECT_EQ(As(kWaker, FUSE_GETXATTR, kRoot, in, secret).error, 0);
  EXPECT_TRUE(link().connected());
  // Once.
  EXPECT_EQ(As(kSomebody, FUSE_GETXATTR, kRoot, in, secret).error, ENODATA);
  EXPECT_EQ(As(kSomebody, FUSE_MKDIR, kRoot, fuse_mkdir_in{0755, 0}, "own").error, 0);
  EXPECT_NE(client.Get("own"), nullptr);
}

TEST_F(WakeTest, ChangesNothingUnlessToldTo) {
  Introduce();
  read_only = true;
  const uint64_t f = LookUp(d_, "f");
  EXPECT_EQ(As(kWaker, FUSE_MKNOD, d_, fuse_mknod_in{.mode = S_IFREG}, "new").error, EPERM);
  EXPECT_EQ(As(kWaker, FUSE_MKDIR, d_, fuse_mkdir_in{0755, 0}, "new").error, EPERM);
  EXPECT_EQ(As(kWaker, FUSE_UNLINK, d_, "f").error, EPERM);
  EXPECT_EQ(As(kWaker, FUSE_RMDIR, kRoot, "e").error, EPERM);
  EXPECT_EQ(As(kWaker, FUSE_RENAME, d_, fuse_rename_in{e_}, "f", "f").error, EPERM);
  EXPECT_EQ(As(kWaker, FUSE_SETATTR, f, fuse_setattr_in{.valid = FATTR_MODE, .mode = 0777}).error, EPERM);
  EXPECT_EQ(As(kWaker, FUSE_SYMLINK, d_, "l", "target").error, EPERM);
  EXPECT_EQ(As(kWaker, FUSE_LINK, d_, fuse_link_in{f}, "l").error, EPERM);
  EXPECT_EQ(As(kWaker, FUSE_REMOVEXATTR, f, "user.x").error, EPERM);
  ExpectNothingDone();
  // It looks as anybody does.
  EXPECT_EQ(As(kWaker, FUSE_LOOKUP, d_, "f").As<fuse_entry_out>().nodeid, f);
}

TEST_F(WakeTest, WhatWasMadeIsNotThereUntilItIsMade) {
  client.Add("d/new", S_IFREG | 0644);
  Introduce();
  link().Show(Of(WakeAction::kCreate, d_, "new"));
  EXPECT_EQ(Command(), "1 d/new");
  EXPECT_EQ(As(kWaker, FUSE_LOOKUP, d_, "new").error, ENOENT);
  const fuse_entry_out made = Entry(As(kWaker, FUSE_MKNOD, d_, fuse_mknod_in{.mode = S_IFREG}, "new"));
  EXPECT_EQ(made.entry_valid, 0u);
  EXPECT_EQ(made.entry_valid_nsec, 0u);
  EXPECT_TRUE(S_ISREG(made.attr.mode));
  EXPECT_EQ(As(kWaker, FUSE_GETATTR, made.nodeid, fuse_getattr_in{}).error, 0);
  // Its number leads nobody anywhere, and the name leads others to what there is.
  EXPECT_NE(As(kSomebody, FUSE_GETATTR, made.nodeid, fuse_getattr_in{}).error, 0);
  EXPECT_NE(Entry(As(kSomebody, FUSE_LOOKUP, d_, "new")).nodeid, made.nodeid);
  Ask(FUSE_FORGET, made.nodeid, fuse_forget_in{1});
  ExpectNothingDone();
  EXPECT_THAT(Done(), ElementsAre());
  EXPECT_EQ(As(kWaker, FUSE_MKNOD, d_, fuse_mknod_in{.mode = S_IFREG}, "new").error, EPERM);
}

TEST_F(WakeTest, ADirectoryThatTheContainerHasFoundStaysTheSame) {
  client.Add("d/sub", S_IFDIR | 0755);
  Introduce();
  const uint64_t sub = LookUp(d_, "sub");
  link().Show(Of(WakeAction::kCreate, d_, "sub", true));
  EXPECT_EQ(Command(), "1 directory d/sub");
  EXPECT_EQ(As(kWaker, FUSE_LOOKUP, d_, "sub").error, ENOENT);
  EXPECT_EQ(Entry(As(kWaker, FUSE_MKDIR, d_, fuse_mkdir_in{0, 0}, "sub")).nodeid, sub);
  ExpectNothingDone();
}

TEST_F(WakeTest, WhatIsGoneIsThereUntilItIsRemoved) {
  Introduce();
  const uint64_t f = LookUp(d_, "f");
  Wake wake = Of(WakeAction::kDelete, d_, "f");
  client.Get("d")->children.erase("f");
  link().Show(std::move(wake));
  EXPECT_EQ(Command(), "2 d/f");
  const fuse_entry_out entry = Entry(As(kWaker, FUSE_LOOKUP, d_, "f"));
  EXPECT_EQ(entry.nodeid, f);
  EXPECT_GE(entry.attr.nlink, 1u);
  EXPECT_EQ(entry.entry_valid, 0u);
  EXPECT_EQ(As(kWaker, FUSE_UNLINK, d_, "f").error, 0);
  ExpectNothingDone();
  Done();
  // Of what nobody knew, too.
  link().Show(Of(WakeAction::kDelete, d_, "unknown", true));
  EXPECT_EQ(Command(), "2 directory d/unknown");
  EXPECT_TRUE(S_ISDIR(Entry(As(kWaker, FUSE_LOOKUP, d_, "unknown")).attr.mode));
  EXPECT_EQ(As(kWaker, FUSE_RMDIR, d_, "unknown").error, 0);
}

TEST_F(WakeTest, WhatIsThereAgainIsNotTakenAway) {
  Introduce();
  const uint64_t f = LookUp(d_, "f");
  link().Show(Of(WakeAction::kDelete, d_, "f"));
  EXPECT_NE(Entry(As(kWaker, FUSE_LOOKUP, d_, "f")).nodeid, f);
  EXPECT_EQ(As(kWaker, FUSE_UNLINK, d_, "f").error, 0);
  Done();
  link().Show(Of(WakeAction::kDelete, kRoot, "e", true));
  EXPECT_EQ(Entry(As(kWaker, FUSE_LOOKUP, kRoot, "e")).nodeid, e_);
  EXPECT_EQ(As(kWaker, FUSE_RMDIR, kRoot, "e").error, EPERM);
  ExpectNothingDone();
}

TEST_F(WakeTest, WhatIsMovedKeepsItsNumber) {
  Introduce();
  const uint64_t f = LookUp(d_, "f");
  const uint64_t h = LookUp(e_, "h");
  Wake wake = Move(d_, "f", e_, "h");
  auto& children = client.Get("d")->children;
  client.Get("e")->children["h"] = children["f"];
  children.erase("f");
  link().Show(std::move(wake));
  EXPECT_EQ(Command(), "3 d/f to e/h");
  EXPECT_EQ(Entry(As(kWaker, FUSE_LOOKUP, d_, "f")).nodeid, f);
  EXPECT_EQ(Entry(As(kWaker, FUSE_LOOKUP, e_, "h")).nodeid, h);
  EXPECT_EQ(As(kWaker, FUSE_RENAME, d_, fuse_rename_in{e_}, "f", "h").error, 0);
  ExpectNothingDone();
  EXPECT_EQ(operations().nodes().PathOf(*Known(f), 100), "e/h");
  EXPECT_EQ(LookUp(e_, "h"), f);
}

TEST_F(WakeTest, MovesInAndOut) {
  Introduce();
  LookUp(d_, "f");
  Wake out = Move(d_, "f", e_, "x");
  out.directory = NodeRef();
  link().Show(std::move(out));
  EXPECT_EQ(Command(), "3 d/f to .lisafs-elsewhere/1");
  const fuse_entry_out elsewhere = Entry(As(kWaker, FUSE_LOOKUP, kRoot, WakerLink::kElsewhere));
  EXPECT_EQ(As(kSomebody, FUSE_LOOKUP, kRoot, WakerLink::kElsewhere).As<fuse_entry_out>().nodeid, 0u);
  EXPECT_EQ(As(kWaker, FUSE_LOOKUP, elsewhere.nodeid, "1").error, ENOENT);
  EXPECT_EQ(As(kWaker, FUSE_RENAME, d_, fuse_rename_in{elsewhere.nodeid}, "f", "1").error, 0);
  Done();
  Wake in = Of(WakeAction::kMove, d_, "new");
  link().Show(std::move(in));
  EXPECT_EQ(Command(), "3 .lisafs-elsewhere/2 to d/new");
  EXPECT_TRUE(S_ISREG(Entry(As(kWaker, FUSE_LOOKUP, elsewhere.nodeid, "2")).attr.mode));
  EXPECT_EQ(As(kWaker, FUSE_LOOKUP, d_, "new").error, ENOENT);
  EXPECT_EQ(As(kWaker, FUSE_RENAME, elsewhere.nodeid, fuse_rename_in{d_}, "2", "new").error, 0);
  ExpectNothingDone();
}

TEST_F(WakeTest, WhatIsChangedIsAnsweredAsItIs) {
  Introduce();
  const uint64_t f = LookUp(d_, "f");
  client.Get("d/f")->content.resize(77);
  link().Show(Of(WakeAction::kModify, d_, "f"));
  EXPECT_EQ(Command(), "4 d/f");
  const Answer answer = As(kWaker, FUSE_SETATTR, f, fuse_setattr_in{.valid = FATTR_MTIME | FATTR_MTIME_NOW});
  EXPECT_EQ(answer.error, 0);
  EXPECT_EQ(answer.As<fuse_attr_out>().attr.size, 77u);
  ExpectNothingDone();
  // The kernel has pages from before.
  EXPECT_THAT(Done(), ElementsAre("content " + std::to_string(f)));
}

TEST_F(WakeTest, WhatWasClosedIsOpenInTheKernelAlone) {
  Introduce();
  const uint64_t f = LookUp(d_, "f");
  const fuse_open_in in{.flags = O_WRONLY};
  EXPECT_EQ(As(kWaker, FUSE_OPEN, f, in).error, EPERM);
  link().Show(Of(WakeAction::kCloseWrite, d_, "f"));
  EXPECT_EQ(Command(), "6 d/f");
  client.calls.clear();
  EXPECT_EQ(Entry(As(kWaker, FUSE_LOOKUP, d_, "f")).nodeid, f);
  const fuse_open_out open = As(kWaker, FUSE_OPEN, f, in).As<fuse_open_out>();
  EXPECT_EQ(open.fh, 0u);
  EXPECT_EQ(open.open_flags, uint32_t{FOPEN_DIRECT_IO | FOPEN_KEEP_CACHE | FOPEN_NOFLUSH});
  EXPECT_EQ(client.calls[Mid::kOpenAt], 0);
  // It leads to nothing.
  EXPECT_EQ(As(kWaker, FUSE_WRITE, f, fuse_write_in{.size = 1}, std::string("x")).error, EBADF);
  EXPECT_EQ(As(kWaker, FUSE_READ, f, fuse_read_in{.size = 1}).error, EBADF);
  EXPECT_EQ(As(kWaker, FUSE_FALLOCATE, f, fuse_fallocate_in{.length = 1}).error, EBADF);
  EXPECT_EQ(Ask(FUSE_RELEASE, f, fuse_release_in{}).error, 0);
  ExpectNothingDone();
  EXPECT_THAT(Done(), ElementsAre());
  EXPECT_EQ(As(kWaker, FUSE_OPEN, f, in).error, EPERM);
}

TEST_F(WakeTest, WhatNobodyKnowsIsClosedWithoutBeingFound) {
  Introduce();
  link().Show(Of(WakeAction::kCloseWrite, d_, "f"));
  EXPECT_EQ(Command(), "6 d/f");
  const fuse_entry_out entry = Entry(As(kWaker, FUSE_LOOKUP, d_, "f"));
  EXPECT_TRUE(S_ISREG(entry.attr.mode));
  EXPECT_EQ(entry.entry_valid, 0u);
  EXPECT_EQ(As(kWaker, FUSE_OPEN, entry.nodeid, fuse_open_in{.flags = O_WRONLY}).error, 0);
  EXPECT_EQ(client.calls[Mid::kOpenAt], 0);
  EXPECT_FALSE(operations().nodes().FindChild(*Known(d_), "f"));
}

TEST_F(WakeTest, WhatHasAnotherTypeByNowIsNotOpened) {
  Introduce();
  const uint64_t f = LookUp(d_, "f");
  Wake wake = Of(WakeAction::kCloseWrite, d_, "f");
  client.Get("d")->children.erase("f");
  client.Add("d/f", S_IFIFO | 0644);
  link().Show(std::move(wake));
  EXPECT_EQ(Command(), "6 d/f");
  const fuse_entry_out entry = Entry(As(kWaker, FUSE_LOOKUP, d_, "f"));
  EXPECT_NE(entry.nodeid, f);
  EXPECT_TRUE(S_ISREG(entry.attr.mode));
  Done();
  // Nor if that is known.
  LookUp(d_, "f");
  link().Show(Of(WakeAction::kCloseWrite, d_, "f"));
  EXPECT_EQ(Command(), "");
}

TEST_F(WakeTest, WhatIsExecutedIsNotOpenForWriting) {
  Introduce();
  const uint64_t f = LookUp(d_, "f");
  const fuse_open_in to_execute{.flags = O_RDONLY | kOpenToExecute};
  uint64_t fh = Ask(FUSE_OPEN, f, to_execute).As<fuse_open_out>().fh;
  link().Show(Of(WakeAction::kCloseWrite, d_, "f"));
  EXPECT_EQ(Command(), "");
  Ask(FUSE_RELEASE, f, fuse_release_in{.fh = fh});
  link().Show(Of(WakeAction::kCloseWrite, d_, "f"));
  EXPECT_EQ(Command(), "6 d/f");

  // Who is about to execute it waits until the waker has closed it.
  std::atomic<bool> may_execute = false;
  NodeRef node = Known(f);
  node->CountExecutors(1);
  std::thread executor([&] {
    link().AwaitClosed(*node);
    may_execute = true;
  });
  usleep(20'000);
  EXPECT_FALSE(may_execute);
  Done();
  executor.join();
  node->CountExecutors(-1);
  // Others do not; nor does it wait for a waker that does not answer.
  link().Show(Of(WakeAction::kCloseWrite, d_, "f"));
  EXPECT_EQ(Command(), "6 d/f");
  const auto start = std::chrono::steady_clock::now();
  link().AwaitClosed(*Known(LookUp(d_, "g")));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(90));
  link().AwaitClosed(*node);
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(90));
}

TEST_F(WakeTest, OneAtATimeAndNotTooMany) {
  Introduce();
  for (size_t i = 0; i < WakerLink::kMaxWaiting + 10; ++i) {
    link().Show(Of(WakeAction::kCreate, d_, std::to_string(i).c_str()));
  }
  size_t commands = 0;
  while (!Command().empty()) {
    EXPECT_EQ(Command(), "");
    ++commands;
    Done();
  }
  EXPECT_EQ(commands, WakerLink::kMaxWaiting + 1);
}

TEST_F(WakeTest, WhatTheContainerHasJustSeenIsForgottenAgain) {
  Introduce();
  const std::string in_d = " in " + std::to_string(d_), in_e = " in " + std::to_string(e_);
  // The container found the new name, and that the old one is gone, before the waker did.
  link().Show(Of(WakeAction::kCreate, d_, "new"));
  EXPECT_EQ(Command(), "1 d/new");
  EXPECT_THAT(Done(EEXIST), ElementsAre("name new" + in_d));
  EXPECT_EQ(Command(), "1 d/new");
  EXPECT_THAT(Done(), ElementsAre());
  link().Show(Of(WakeAction::kDelete, d_, "f"));
  EXPECT_EQ(Command(), "2 d/f");
  EXPECT_THAT(Done(ENOENT), ElementsAre("name f" + in_d));
  EXPECT_EQ(Command(), "2 d/f");
  EXPECT_THAT(Done(), ElementsAre());
  link().Show(Move(d_, "g", e_, "i"));
  EXPECT_EQ(Command(), "3 d/g to e/i");
  EXPECT_THAT(Done(ENOENT), ElementsAre("name g" + in_d, "name i" + in_e));
  EXPECT_EQ(Command(), "3 d/g to e/i");
  EXPECT_THAT(Done(), ElementsAre());
  // Not for ever, and not what will not get better.
  link().Show(Of(WakeAction::kDelete, d_, "f"));
  size_t tries = 0;
  while (!Command().empty()) {
    ++tries;
    Done(ENOENT);
  }
  EXPECT_EQ(tries, 4u);
  link().Show(Of(WakeAction::kAttributes, d_, "g"));
  EXPECT_EQ(Command(), "5 d/g");
  EXPECT_THAT(Done(ENOENT), ElementsAre());
  EXPECT_EQ(Command(), "");
}

TEST_F(WakeTest, ARevokedMountTellsNothing) {
  Introduce();
  policy.restrictions = kRevoked;
  link().Show(Of(WakeAction::kCreate, d_, "new"));
  EXPECT_EQ(As(kWaker, FUSE_MKNOD, d_, fuse_mknod_in{.mode = S_IFREG}, "new").error, EACCES);
}

TEST_F(WakeTest, TheEnd) {
  Introduce();
  link().Show(Of(WakeAction::kCreate, d_, "new"));
  end_.reset();
  link().OnReadable(caches_);
  EXPECT_FALSE(link().connected());
  EXPECT_EQ(link().fd(), -1);
  // Who gets its number then is somebody else.
  EXPECT_EQ(As(kWaker, FUSE_MKDIR, kRoot, fuse_mkdir_in{0755, 0}, "own").error, 0);
  EXPECT_NE(client.Get("own"), nullptr);
}

}  // namespace
}  // namespace lisafs
