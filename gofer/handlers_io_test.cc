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

}  // namespace
}  // namespace lisafs
