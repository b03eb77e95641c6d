// Open files and their data.

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/operations_testing.h"

namespace lisafs {
namespace {

class FileTest : public OperationsTest {
 protected:
  void SetUp() override {
    file = client.Add("a", S_IFREG | 0644);
    file->content = "0123456789";
    a = LookUp(kRoot, "a");
  }
  Answer Read(uint64_t fh, uint64_t offset, uint32_t size) {
    return Ask(FUSE_READ, a, fuse_read_in{.fh = fh, .offset = offset, .size = size});
  }
  Answer Write(uint64_t fh, uint64_t offset, std::string_view data, uint32_t flags = 0) {
    fuse_write_in in = {.fh = fh, .offset = offset, .size = static_cast<uint32_t>(data.size()), .write_flags = flags};
    return Ask(FUSE_WRITE, a, in, data);
  }
  // The host's descriptor that goes with the next open.
  int Donate(std::string_view content) {
    client.donate.reset(memfd_create("donated", MFD_CLOEXEC));
    EXPECT_EQ(write(client.donate.get(), content.data(), content.size()), static_cast<ssize_t>(content.size()));
    return client.donate.get();
  }

  FakeClient::FilePtr file;
  uint64_t a;
};

TEST_F(FileTest, DataTravelsInMessages) {
  uint64_t fh = Open(a, O_RDWR);
  EXPECT_EQ(Read(fh, 3, 4).payload, "3456");
  EXPECT_EQ(Read(fh, 8, 100).payload, "89");
  EXPECT_EQ(Read(fh, 10, 100).payload, "");
  EXPECT_EQ(Write(fh, 8, "xyz").As<fuse_write_out>().size, 3u);
  EXPECT_EQ(file->content, "01234567xyz");
  EXPECT_EQ(Ask(FUSE_FSYNC, a, fuse_fsync_in{.fh = fh}).error, 0);
  EXPECT_EQ(client.calls[Mid::kFSync], 1);
  EXPECT_EQ(Ask(FUSE_FALLOCATE, a, fuse_fallocate_in{.fh = fh, .length = 10}).error, 0);
  EXPECT_EQ(client.calls[Mid::kFAllocate], 1);
  EXPECT_EQ(Ask(FUSE_RELEASE, a, fuse_release_in{.fh = fh}).error, 0);
  EXPECT_TRUE(client.open_fds.empty());
  EXPECT_EQ(Read(fh, 0, 1).error, EBADF);
}

TEST_F(FileTest, DonatedDescriptorsAreUsed) {
  int donated = Donate("donated content");
  uint64_t fh = Open(a, O_RDWR);
  EXPECT_EQ(Read(fh, 8, 100).payload, "content");
  EXPECT_EQ(Write(fh, 0, "DON").As<fuse_write_out>().size, 3u);
  EXPECT_EQ(Read(fh, 0, 7).payload, "DONated");
  EXPECT_EQ(Ask(FUSE_FSYNC, a, fuse_fsync_in{.fh = fh}).error, 0);
  EXPECT_EQ(Ask(FUSE_FALLOCATE, a, fuse_fallocate_in{.fh = fh, .length = 100}).error, 0);
  for (Mid mid : {Mid::kPRead, Mid::kPWrite, Mid::kFSync, Mid::kFAllocate}) EXPECT_EQ(client.calls[mid], 0);
  EXPECT_EQ(fcntl(donated, F_GETFD), FD_CLOEXEC);
  Ask(FUSE_RELEASE, a, fuse_release_in{.fh = fh});
  EXPECT_LT(fcntl(donated, F_GETFD), 0);
}

TEST_F(FileTest, SetIdFilesAreWrittenByTheServer) {
  file->stat.mode = S_IFREG | 04755;
  a = LookUp(kRoot, "a");
  Donate("");
  uint64_t fh = Open(a, O_RDWR);
  EXPECT_EQ(Write(fh, 0, "A").error, 0);
  EXPECT_EQ(file->content, "A123456789");
  EXPECT_EQ(file->stat.mode & 07777, 04755);
  EXPECT_EQ(Write(fh, 1, "B", FUSE_WRITE_KILL_SUIDGID).error, 0);
  EXPECT_EQ(reply.changed, a);
  EXPECT_EQ(file->stat.mode & 07777, 0755);
  // Ordinary again.
  EXPECT_EQ(Write(fh, 2, "C", FUSE_WRITE_KILL_SUIDGID).error, 0);
  EXPECT_EQ(file->content, "AB23456789");
}

TEST_F(FileTest, CachedPagesStayWhileTheFileIsUnchanged) {
  struct stat now;
  int donated = Donate("0123456789");
  ASSERT_EQ(fstat(donated, &now), 0);
  file->stat.mtime = {.sec = now.st_mtim.tv_sec, .nsec = static_cast<uint32_t>(now.st_mtim.tv_nsec)};
  LookUp(kRoot, "a");
  EXPECT_EQ(Ask(FUSE_OPEN, a, fuse_open_in{}).As<fuse_open_out>().open_flags, unsigned{FOPEN_KEEP_CACHE});
  EXPECT_EQ(reply.changed, 0u);
  // The same without a descriptor, at the price of a request.
  EXPECT_EQ(Ask(FUSE_OPEN, a, fuse_open_in{}).As<fuse_open_out>().open_flags, unsigned{FOPEN_KEEP_CACHE});
  file->content += "!";
  EXPECT_EQ(Ask(FUSE_OPEN, a, fuse_open_in{}).As<fuse_open_out>().open_flags, 0u);
  EXPECT_EQ(reply.changed, a);
  file->content.pop_back();
  Donate("changed by the host");
  EXPECT_EQ(Ask(FUSE_OPEN, a, fuse_open_in{}).As<fuse_open_out>().open_flags, 0u);
  EXPECT_EQ(reply.changed, a);
}

TEST_F(FileTest, OpenTruncates) {
  file->stat.mode = S_IFREG | 06755;
  LookUp(kRoot, "a");
  EXPECT_EQ(Ask(FUSE_OPEN, a, fuse_open_in{O_WRONLY | O_TRUNC | O_APPEND, FUSE_OPEN_KILL_SUIDGID}).error, 0);
  EXPECT_EQ(file->content, "");
  EXPECT_EQ(file->stat.mode & 07777, 0755);
}

TEST_F(FileTest, CreateMakesAndOpens) {
  auto answer = Ask(FUSE_CREATE, kRoot, fuse_create_in{O_RDWR | O_CREAT | O_EXCL, S_IFREG | 0640, 0, 0}, "new");
  auto entry = answer.As<fuse_entry_out>();
  uint64_t fh = answer.As<fuse_open_out>(sizeof entry).fh;
  EXPECT_EQ(entry.attr.mode, S_IFREG | 0640u);
  EXPECT_EQ(entry.attr.uid, 1000u);
  EXPECT_EQ(Write(fh, 0, "hello").error, 0);
  EXPECT_EQ(client.Get("new")->content, "hello");
  EXPECT_EQ(client.calls[Mid::kWalk], 0);
}

TEST_F(FileTest, AFileWithoutANameMayGetOne) {
  fuse_create_in in = {.flags = O_RDWR | O_TMPFILE, .mode = S_IFREG | 0600, .umask = 0, .open_flags = 0};
  auto answer = Ask(FUSE_TMPFILE, kRoot, in, "/");
  ASSERT_EQ(answer.error, 0);
  auto entry = answer.As<fuse_entry_out>();
  uint64_t fh = answer.As<fuse_open_out>(sizeof entry).fh;
  EXPECT_EQ(entry.attr.nlink, 0u);
  EXPECT_EQ(client.created.uid, 1000u);
  EXPECT_EQ(Write(fh, 0, "hello").error, 0);
  auto linked = Ask(FUSE_LINK, kRoot, fuse_link_in{entry.nodeid}, "named").As<fuse_entry_out>();
  EXPECT_EQ(linked.nodeid, entry.nodeid);
  EXPECT_EQ(client.Get("named")->content, "hello");
  // Nothing of it is left once the kernel forgets it.
  Ask(FUSE_RELEASE, entry.nodeid, fuse_release_in{.fh = fh});
  Ask(FUSE_FORGET, entry.nodeid, fuse_forget_in{2});
  EXPECT_EQ(client.control_fds.size(), 1u);
  EXPECT_TRUE(client.open_fds.empty());
  client.unsupported = {Mid::kOpenUnnamed};
  EXPECT_EQ(Ask(FUSE_TMPFILE, kRoot, in, "/").error, ENOSYS);
}

TEST_F(FileTest, SyncsNoMoreThanAskedFor) {
  uint64_t fh = Open(a, O_RDWR);
  const fuse_fsync_in data_only = {.fh = fh, .fsync_flags = FUSE_FSYNC_FDATASYNC};
  EXPECT_EQ(Ask(FUSE_FSYNC, a, data_only).error, 0);
  EXPECT_EQ(client.calls[Mid::kFDataSync], 1);
  client.unsupported = {Mid::kFDataSync};
  EXPECT_EQ(Ask(FUSE_FSYNC, a, data_only).error, 0);
  EXPECT_EQ(client.calls[Mid::kFSync], 1);
}

TEST_F(FileTest, CreateOpensWhatAnotherMadeMeanwhile) {
  auto answer = Ask(FUSE_CREATE, kRoot, fuse_create_in{O_RDWR | O_CREAT | O_TRUNC, S_IFREG | 0640, 0, 0}, "a");
  EXPECT_EQ(answer.error, 0);
  EXPECT_EQ(answer.As<fuse_entry_out>().nodeid, a);
  EXPECT_EQ(file->content, "");
  fuse_create_in exclusive = {O_RDWR | O_CREAT | O_EXCL, S_IFREG | 0640, 0, 0};
  EXPECT_EQ(Ask(FUSE_CREATE, kRoot, exclusive, "a").error, EEXIST);
  client.Add("l", S_IFLNK | 0777);
  EXPECT_EQ(Ask(FUSE_CREATE, kRoot, fuse_create_in{O_RDWR, S_IFREG, 0, 0}, "l").error, ESTALE);
}

TEST_F(FileTest, HolesAreFoundInDonatedFiles) {
  int donated = Donate("");
  ASSERT_EQ(pwrite(donated, "x", 1, 1 << 20), 1);
  uint64_t fh = Open(a, O_RDONLY);
  auto seek = [&](uint64_t handle, uint64_t offset, uint32_t whence) {
    return Ask(FUSE_LSEEK, a, fuse_lseek_in{.fh = handle, .offset = offset, .whence = whence});
  };
  EXPECT_EQ(seek(fh, 0, SEEK_DATA).As<fuse_lseek_out>().offset, 1u << 20);
  EXPECT_EQ(seek(fh, 0, SEEK_END).error, EINVAL);
  // The server finds them in others, if it knows how to, and otherwise they have none.
  uint64_t plain = Open(a, O_RDONLY);
  EXPECT_EQ(seek(plain, 0, SEEK_DATA).As<fuse_lseek_out>().offset, 4u);
  EXPECT_EQ(seek(plain, 7, SEEK_HOLE).As<fuse_lseek_out>().offset, 10u);
  EXPECT_EQ(client.calls[Mid::kSeek], 2);
  client.unsupported = {Mid::kSeek};
  EXPECT_EQ(seek(plain, 4, SEEK_DATA).As<fuse_lseek_out>().offset, 4u);
  EXPECT_EQ(seek(plain, 4, SEEK_HOLE).As<fuse_lseek_out>().offset, 10u);
  EXPECT_EQ(seek(plain, 10, SEEK_DATA).error, ENXIO);
}

TEST_F(FileTest, CopiesBetweenDonatedFiles) {
  Donate("the source");
  uint64_t from = Open(a, O_RDONLY);
  int target = Donate("");
  uint64_t to = Open(a, O_RDWR);
  fuse_copy_file_range_in in = {.fh_in = from, .off_in = 4, .nodeid_out = a, .fh_out = to, .off_out = 2, .len = 100};
  EXPECT_EQ(Ask(FUSE_COPY_FILE_RANGE, a, in).As<fuse_write_out>().size, 6u);
  char copied[9] = {};
  EXPECT_EQ(pread(target, copied, sizeof copied, 0), 8);
  EXPECT_STREQ(copied + 2, "source");
  // Between others, the server does if it knows how to.
  in.fh_in = in.fh_out = Open(a, O_RDWR);
  in.len = 3;
  EXPECT_EQ(Ask(FUSE_COPY_FILE_RANGE, a, in).As<fuse_write_out>().size, 3u);
  EXPECT_EQ(file->content, "0145656789");
  client.unsupported = {Mid::kCopyFileRange};
  EXPECT_EQ(Ask(FUSE_COPY_FILE_RANGE, a, in).error, EOPNOTSUPP);
}

TEST_F(FileTest, IoctlsAreNotForFiles) { EXPECT_EQ(Ask(FUSE_IOCTL, a, fuse_ioctl_in{}).error, ENOTTY); }

}  // namespace
}  // namespace lisafs
