// Ordinary programs on a Debian root.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/containers/host.h"

namespace lisafs::tests {
namespace {

using std::chrono::minutes;
using testing::HasSubstr;

class Debian : public Host {
 protected:
  Ran RunScript(const Bundle& bundle, const std::string& script) {
    Bundle copy = bundle;
    copy.SetArguments({"/bin/bash", "-euc", script});
    return RunContainer(copy, Id("debian"), {.timeout = minutes(3)});
  }
};

TEST_F(Debian, GitKeepsARepository) {
  Bundle bundle = DebianBundle("bundle");
  Ran ran = RunScript(bundle, R"sh(
    export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
    git init -q -b main /srv/repository && cd /srv/repository
    for i in $(seq 100); do mkdir -p "d$((i % 7))"; seq "$i" $((i * 10)) > "d$((i % 7))/f$i"; done
    git add . && git commit -qm first
    git mv d1 moved && git rm -qr d2 && echo changed >> d3/f3 && git commit -qam second
    git gc -q --aggressive && git fsck --strict --full 2>&1
    git clone -q . ../clone && git -C ../clone log --format=%s && git -C ../clone status --porcelain
  )sh");
  ASSERT_TRUE(ran.ok()) << ran;
  EXPECT_EQ(ran.out, "second\nfirst\n");
  Ran host = RunProgram({"chroot", bundle.rootfs(), "git", "-C", "/srv/clone", "fsck", "--strict", "--full"});
  EXPECT_TRUE(host.ok()) << host;
}

TEST_F(Debian, GccCompilesWhatThenRuns) {
  Ran ran = RunScript(DebianBundle("bundle"), R"sh(
    mkdir /srv/hello && cd /srv/hello
    printf '%s\n' '#include <stdio.h>' 'int answer(void);' \
      'int main(void) { printf("%d\n", answer()); return 0; }' > main.c
    echo 'int answer(void) { return 42; }' > answer.c
    gcc -O2 -Wall -c main.c && gcc -O2 -fPIC -shared -o libanswer.so answer.c
    gcc -o hello main.o -L. -lanswer -Wl,-rpath,'$ORIGIN' && ./hello
  )sh");
  EXPECT_TRUE(ran.ok()) << ran;
  EXPECT_EQ(ran.out, "42\n");
}

// The locks and the shared memory of its write-ahead log are files too.
TEST_F(Debian, SqliteTakesTwoWritersAtOnce) {
  for (const char* mode : {"delete", "wal"}) {
    Bundle bundle = DebianBundle(mode);
    Ran ran = RunScript(bundle, "mode=" + std::string(mode) + R"sh(
      cd /srv && sqlite3 db "pragma journal_mode=$mode; create table t (writer integer, n integer);"
      writer() { for n in $(seq 150); do echo "insert into t values ($1, $n);"; done | sqlite3 -cmd '.timeout 60000' db; }
      writer 1 & one=$!; writer 2 & two=$!
      wait $one && wait $two
      sqlite3 db 'select writer, count(*), sum(n) from t group by writer; pragma integrity_check;'
    )sh");
    EXPECT_TRUE(ran.ok()) << ran;
    EXPECT_EQ(ran.out, std::string(mode) + "\n1|150|11325\n2|150|11325\nok\n");
  }
}

TEST_F(Debian, TarOfATreeIsTheHostsByteForByte) {
  Bundle bundle = DebianBundle("bundle");
  Ran made = RunProgram({"chroot", bundle.rootfs(), "/bin/bash", "-euc", R"sh(
    mkdir -p /srv/tree/{a,b,sticky} && cd /srv/tree && chmod 1777 sticky
    cp -a /usr/lib/git-core /etc .
    for i in $(seq 500); do echo "file $i" > "a/f$i"; done
    ln a/f1 b/hard && ln -s ../a/f2 b/soft && mkfifo b/pipe && mknod b/device c 1 3 && truncate -s 50M b/sparse
    echo end | dd of=b/sparse bs=1 seek=30M conv=notrunc status=none
    chown 12345:54321 a/f3 && chmod 6755 a/f4 && touch -h -d '2001-02-03 04:05:06.789012345' a/f5 b/soft
    setfattr -n user.colour -v blue a/f6 && setfacl -m u:1000:rw a/f7 && setfacl -d -m g:1000:rx a
    touch "$(printf 'b/na\nme\377')"
  )sh"});
  ASSERT_TRUE(made.ok()) << made;
  // Without access and change times, which looking changes, and names with process ids in them.
  std::vector<std::string> tar = {"tar",
                                  "-C",
                                  "/srv/tree",
                                  "--create",
                                  "--file=-",
                                  "--sort=name",
                                  "--format=posix",
                                  "--pax-option=delete=atime,delete=ctime,exthdr.name=x",
                                  "--numeric-owner",
                                  "--acls",
                                  "--xattrs",
                                  "--xattrs-include=*",
                                  "--sparse",
                                  "--sparse-version=0.0",
                                  "."};
  std::vector<std::string> on_host = {"chroot", bundle.rootfs()};
  on_host.insert(on_host.end(), tar.begin(), tar.end());
  Ran host = RunProgram(on_host);
  ASSERT_TRUE(host.ok()) << host.err;

  bundle.SetArguments(tar);
  Ran inside = RunContainer(bundle, Id("tar"));
  EXPECT_TRUE(inside.ok()) << inside.err;
  EXPECT_GT(host.out.size(), 1000u * 1000);
  EXPECT_EQ(inside.out.size(), host.out.size());
  EXPECT_TRUE(inside.out == host.out) << "the archives differ";
}

TEST_F(Debian, PythonImportsItsLibrary) {
  Ran ran = RunScript(DebianBundle("bundle"), R"sh(
    python3 -c '
import importlib, pkgutil, sys
skipped = {"antigravity", "this", "idlelib", "turtle", "turtledemo", "tkinter", "test", "lib2to3", "distutils", "ensurepip"}
count = 0
for module in pkgutil.iter_modules():
    if module.name in skipped or module.name.startswith("_"):
        continue
    try:
        importlib.import_module(module.name)
        count += 1
    except ImportError as error:
        print(module.name, error)
print("enough" if count > 150 else count)
' && find /usr/lib/python3 /usr/lib/python3.11 -name '*.py' | xargs cat | wc -c > /dev/null
  )sh");
  EXPECT_TRUE(ran.ok()) << ran;
  EXPECT_EQ(ran.out, "enough\n");
}

TEST_F(Debian, MappedFilesAreSharedBetweenProcesses) {
  Bundle bundle = DebianBundle("bundle");
  std::filesystem::copy_file(DataFile("tests/containers/probe"), bundle.rootfs() + "/usr/bin/probe");
  Ran ran = RunScript(bundle, R"sh(
    cd /srv && truncate -s 4096 shared counter
    mkfifo hold && exec 3<> hold
    probe mmap-write shared 'written by one' < hold & 
    probe mmap-wait shared 'written by one'
    exec 3>&-; kill %1; wait %1 || true
    head -c 14 shared && echo
    probe mmap-add counter 100000 & probe mmap-add counter 100000; wait
    od -A n -t u4 -N 4 counter | tr -d ' '
  )sh");
  EXPECT_TRUE(ran.ok()) << ran;
  EXPECT_EQ(ran.out, "written by one\n200000\n");
  EXPECT_THAT(ReadFile(bundle.rootfs() + "/srv/shared").value_or(""), testing::StartsWith("written by one"));
}

}  // namespace
}  // namespace lisafs::tests
