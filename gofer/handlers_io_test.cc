#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>

#include <vector>

#include "gofer/gofer_testing.h"

namespace lisafs {
namespace {

class IoTest : public GoferTest {
 protected:
  Status FSync(const std::vector<Fdid>& fds) {
    auto response = client().Call<Mid::kFSync>({FdArray(fds)});
    if (!response) return Fail(response.error());
    return {};
  }
  Status FAllocate(Fdid fd, uint64_t mode, uint64_t offset, uint64_t length) {
    auto response = client().Call<Mid::kFAllocate>({fd, mode, offset, length});
    if (!response) return Fail(response.error());
    return {};
  }
};

TEST_F(IoTest, Reads) {
  WriteHostFile("f", "hello");
  Serve();
  Fdid file = Find(root(), "f").control_fd;
  Fdid open = Open(file, O_RDONLY).value();
  EXPECT_EQ(PRead(open, 0, 100).value(), "hello");
  EXPECT_EQ(PRead(open, 1, 3).value(), "ell");
  EXPECT_EQ(PRead(open, 5, 1).value(), "");
  EXPECT_EQ(PRead(open, 1000, 1).value(), "");
  EXPECT_EQ(PRead(open, 0, 0).value(), "");
  EXPECT_EQ(PRead(open, 0, kDefaultMaxMessage - 8).value(), "hello");
  EXPECT_EQ(ErrnoOf(PRead(open, 0, kDefaultMaxMessage - 7)), ENOBUFS);
  EXPECT_EQ(ErrnoOf(PRead(open, 0, UINT32_MAX)), ENOBUFS);
  EXPECT_EQ(ErrnoOf(PRead(open, uint64_t{1} << 63, 1)), EINVAL);
  EXPECT_EQ(ErrnoOf(PRead(file, 0, 1)), EINVAL);
  EXPECT_EQ(ErrnoOf(PRead(99, 0, 1)), EBADF);
  EXPECT_EQ(ErrnoOf(PRead(Open(root(), O_RDONLY).value(), 0, 1)), EISDIR);
  EXPECT_EQ(ErrnoOf(PRead(Open(file, O_WRONLY).value(), 0, 1)), EBADF);
}

TEST_F(IoTest, Writes) {
  WriteHostFile("f", "hello");
  Serve();
  Fdid file = Find(root(), "f").control_fd;
  Fdid open = Open(file, O_RDWR).value();
  EXPECT_EQ(PWrite(open, 1, "ELL").value(), 3u);
  EXPECT_EQ(ReadHostFile("f"), "hELLo");
  EXPECT_EQ(PWrite(open, 0, "").value(), 0u);
  EXPECT_EQ(ErrnoOf(PWrite(Open(file, O_RDONLY).value(), 0, "x")), EBADF);
  EXPECT_EQ(ErrnoOf(PWrite(file, 0, "x")), EINVAL);
  EXPECT_EQ(ErrnoOf(PWrite(open, uint64_t{1} << 63, "x")), EINVAL);
  auto with_count = [&](uint32_t count) {
    return client().Call<Mid::kPWrite>(
        {.offset = 0, .fd = open, .count = count, .data = {std::as_bytes(std::span("12", 2))}});
  };
  EXPECT_EQ(ErrnoOf(with_count(3)), EIO);
  EXPECT_EQ(ErrnoOf(with_count(UINT32_MAX)), EIO);
  EXPECT_EQ(with_count(1)->count, 1u);
  EXPECT_EQ(ReadHostFile("f"), "1ELLo");
}

TEST_F(IoTest, ALargeFileComesAndGoesWhole) {
  for (size_t channels : {0, 1}) {
    Serve({.donate_regular_files = false}, "", channels);
    Fdid open = Create(root(), "big" + std::to_string(channels)).value().open_fd;
    std::vector<std::byte> written(5 << 20);
    for (size_t i = 0; i < written.size(); ++i) written[i] = static_cast<std::byte>(i * 7 + i / 4096);
    ASSERT_EQ(client().PWrite(open, written, 3).value(), written.size());
    std::vector<std::byte> read(written.size());
    ASSERT_EQ(client().PRead(open, read, 3).value(), read.size());
    EXPECT_EQ(read, written);
  }
}

TEST_F(IoTest, Syncs) {
  WriteHostFile("f");
  Serve();
  Fdid file = Find(root(), "f").control_fd;
  Fdid open = Open(file, O_RDONLY).value();
  EXPECT_EQ(ErrnoOf(FSync({})), 0);
  EXPECT_EQ(ErrnoOf(FSync({open, open})), 0);
  EXPECT_EQ(ErrnoOf(FSync({file})), EINVAL);
  EXPECT_EQ(ErrnoOf(FSync({99, open})), EBADF);
  EXPECT_EQ(ErrnoOf(FSync({open, file, 99})), EINVAL);
}

TEST_F(IoTest, Allocates) {
  WriteHostFile("f");
  Serve();
  Fdid file = Find(root(), "f").control_fd;
  Fdid open = Open(file, O_RDWR).value();
  EXPECT_EQ(ErrnoOf(FAllocate(open, 0, 0, 40)), 0);
  EXPECT_EQ(Stat(open)->size, 40u);
  EXPECT_EQ(ErrnoOf(FAllocate(open, 0, 20, 100)), 0);
  EXPECT_EQ(Stat(open)->size, 120u);
  EXPECT_EQ(ErrnoOf(FAllocate(open, FALLOC_FL_KEEP_SIZE, 0, 1 << 20)), 0);
  EXPECT_EQ(Stat(open)->size, 120u);
  EXPECT_EQ(ErrnoOf(FAllocate(open, 0, 0, 0)), EINVAL);
  EXPECT_EQ(ErrnoOf(FAllocate(open, 0x1000, 0, 1)), EOPNOTSUPP);
  EXPECT_EQ(ErrnoOf(FAllocate(open, uint64_t{1} << 32, 0, 1)), EOPNOTSUPP);
  EXPECT_EQ(ErrnoOf(FAllocate(Open(file, O_RDONLY).value(), 0, 0, 1)), EBADF);
  EXPECT_EQ(ErrnoOf(FAllocate(file, 0, 0, 1)), EINVAL);
}

TEST_F(IoTest, SyncsData) {
  WriteHostFile("f", "hello");
  Serve();
  Fdid file = Find(root(), "f").control_fd;
  EXPECT_TRUE(client().Call<Mid::kFDataSync>({Open(file, O_RDWR).value()}));
  EXPECT_EQ(ErrnoOf(client().Call<Mid::kFDataSync>({file})), EINVAL);
  EXPECT_EQ(ErrnoOf(client().Call<Mid::kFDataSync>({99})), EBADF);
}

TEST_F(IoTest, SeeksDataAndHoles) {
  WriteHostFile("f");
  ASSERT_EQ(truncate(Path("f").c_str(), 1 << 20), 0);
  Serve();
  Fdid file = Find(root(), "f").control_fd;
  Fdid open = Open(file, O_RDWR).value();
  EXPECT_EQ(ErrnoOf(Seek(open, 0, SEEK_DATA)), ENXIO);
  EXPECT_EQ(Seek(open, 0, SEEK_HOLE).value(), 0u);
  ASSERT_EQ(PWrite(open, 512 << 10, std::string(4096, 'x')).value(), 4096u);
  EXPECT_EQ(Seek(open, 0, SEEK_DATA).value(), 512u << 10);
  EXPECT_EQ(Seek(open, 512 << 10, SEEK_HOLE).value(), (512u << 10) + 4096);
  EXPECT_EQ(ErrnoOf(Seek(open, 2 << 20, SEEK_DATA)), ENXIO);
  EXPECT_NE(ErrnoOf(Seek(open, uint64_t{1} << 63, SEEK_DATA)), 0);
  for (int whence : {SEEK_SET, SEEK_CUR, SEEK_END, 99}) EXPECT_EQ(ErrnoOf(Seek(open, 0, whence)), EINVAL);
  // A directory's position is the listing's.
  EXPECT_EQ(ErrnoOf(Seek(Open(root(), O_RDONLY).value(), 0, SEEK_HOLE)), EINVAL);
  EXPECT_EQ(ErrnoOf(Seek(file, 0, SEEK_DATA)), EINVAL);
  EXPECT_EQ(ErrnoOf(Seek(99, 0, SEEK_DATA)), EBADF);
}

TEST_F(IoTest, Copies) {
  WriteHostFile("from", "0123456789");
  WriteHostFile("to");
  Serve();
  Fdid from = Open(Find(root(), "from").control_fd, O_RDONLY).value();
  Fdid to = Open(Find(root(), "to").control_fd, O_WRONLY).value();
  EXPECT_EQ(Copy(from, 2, to, 1, 5).value(), 5u);
  EXPECT_EQ(ReadHostFile("to"), std::string("\0"
                                            "23456",
                                            6));
  EXPECT_EQ(Copy(from, 8, to, 0, UINT64_MAX).value(), 2u);
  EXPECT_EQ(Copy(from, 10, to, 0, 1).value(), 0u);
  EXPECT_EQ(ErrnoOf(Copy(to, 0, from, 0, 1)), EBADF);
  EXPECT_EQ(ErrnoOf(Copy(to, 0, to, 0, 1)), EBADF);
  EXPECT_EQ(ErrnoOf(Copy(from, uint64_t{1} << 63, to, 0, 1)), EINVAL);
  EXPECT_EQ(ErrnoOf(Copy(root(), 0, to, 0, 1)), EINVAL);
  EXPECT_EQ(ErrnoOf(Copy(from, 0, 99, 0, 1)), EBADF);
  EXPECT_EQ(ErrnoOf(Copy(Open(root(), O_RDONLY).value(), 0, to, 0, 1)), EISDIR);
}

}  // namespace
}  // namespace lisafs
