#include "lisafs/window_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lisafs {
namespace {

int64_t SizeOf(const WindowFile& file) {
  struct stat st;
  EXPECT_EQ(fstat(file.fd(), &st), 0);
  return st.st_size;
}

TEST(WindowFile, HandsOutConsecutiveWindows) {
  auto file = WindowFile::Create();
  ASSERT_TRUE(file);
  auto first = file->Allocate(2 << 20);
  auto second = file->Allocate(4096);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->offset, 0);
  EXPECT_EQ(first->length, 2u << 20);
  EXPECT_EQ(second->offset, 2 << 20);
  EXPECT_EQ(SizeOf(*file), (2 << 20) + 4096);
}

TEST(WindowFile, CannotShrinkOrBeSealedFurther) {
  auto file = WindowFile::Create();
  ASSERT_TRUE(file && file->Allocate(8192));
  EXPECT_EQ(fcntl(file->fd(), F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_SEAL);
  EXPECT_EQ(ftruncate(file->fd(), 4096), -1);
  EXPECT_EQ(fcntl(file->fd(), F_ADD_SEALS, F_SEAL_WRITE), -1);
  EXPECT_EQ(SizeOf(*file), 8192);
}

TEST(WindowFile, DoesNotMindAClientThatGrewIt) {
  auto file = WindowFile::Create();
  ASSERT_TRUE(file && file->Allocate(4096));
  ASSERT_EQ(ftruncate(file->fd(), int64_t{1} << 40), 0);
  auto window = file->Allocate(4096);
  ASSERT_TRUE(window);
  EXPECT_EQ(window->offset, 4096);
}

TEST(WindowFile, RefusesWhatCannotBe) {
  auto file = WindowFile::Create();
  ASSERT_TRUE(file && file->Allocate(4096));
  EXPECT_FALSE(file->Allocate(UINT64_MAX));
  EXPECT_FALSE(file->Allocate(UINT64_MAX - 4095));
  EXPECT_TRUE(file->Allocate(4096));
}

}  // namespace
}  // namespace lisafs
