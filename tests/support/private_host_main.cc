// The main() of tests that mount, start daemons and run containers.
//
// They run on the real machine but in a mount namespace of their own, so that each sees exactly what it and its
// programs mount and nothing of what else happens there. Every mount in it is shared, as systemd makes them on most
// hosts: what a program under test lets propagate shows. /run/lisafs is empty, so that default paths can be tested too.

#include <gtest/gtest.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

constexpr char kRunDirectory[] = "/run/lisafs";

bool EnterPrivateHost() {
  if (unshare(CLONE_NEWNS) != 0) return false;
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return false;
  mkdir(kRunDirectory, 0711);
  if (mount("tmpfs", kRunDirectory, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0711") != 0) return false;
  return mount(nullptr, "/", nullptr, MS_REC | MS_SHARED, nullptr) == 0;
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  // Without root the tests themselves say why they are skipped.
  if (geteuid() == 0 && !EnterPrivateHost()) {
    perror("private mount namespace");
    return 1;
  }
  return RUN_ALL_TESTS();
}
