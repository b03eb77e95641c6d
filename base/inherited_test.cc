#include "base/inherited.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

namespace lisafs {
namespace {

TEST(TakeInherited, OwnsWhatItTakes) {
  const int inherited = memfd_create("inherited", 0);
  {
    auto taken = TakeInherited(std::to_string(inherited));
    ASSERT_TRUE(taken) << taken.error();
    EXPECT_EQ(taken->get(), inherited);
    EXPECT_EQ(fcntl(inherited, F_GETFD), FD_CLOEXEC);
  }
  EXPECT_EQ(fcntl(inherited, F_GETFD), -1);
}

TEST(TakeInherited, RefusesWhatWasTakenAlready) {
  Fd inherited(memfd_create("inherited", 0));
  const std::string number = std::to_string(inherited.get());
  auto taken = TakeInherited(number);
  ASSERT_TRUE(taken);
  inherited.release();
  EXPECT_EQ(TakeInherited(number).error(), "descriptor " + number + " is named twice");
}

TEST(TakeInherited, RefusesWhatIsNoDescriptor) {
  for (const char* text : {"", "x", "-1", "1x", " 1", "99999999999"}) {
    EXPECT_EQ(TakeInherited(text).error(), "\"" + std::string(text) + "\" is not a descriptor's number");
  }
  EXPECT_EQ(TakeInherited("987654").error(), "descriptor 987654 is not open");
}

}  // namespace
}  // namespace lisafs
