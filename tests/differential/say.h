#ifndef LISAFS_TESTS_DIFFERENTIAL_SAY_H_
#define LISAFS_TESTS_DIFFERENTIAL_SAY_H_

#include <sys/stat.h>
#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>

// How the actor says on standard output what system calls gave, so that what it says on one file system can be compared
// with what it says on another, line by line. Nothing is said that may rightly differ: no inode numbers, no times but
// those set, no sizes of directories. One thread at a time; processes take turns.

namespace lisafs::differential {

// "WHAT = RESULT", and errno's name for what is negative. Gives the result; errno is as it was.
long Say(const std::string& what, long result);
// The same with "ok" for every success: a descriptor's number is nobody's business.
int SayOk(const std::string& what, int result);
void SayText(const std::string& what, const std::string& text);
// How many bytes, and which.
void SayData(const std::string& what, const void* data, ssize_t length);
// Type, mode, links, owner and, but for a directory's, size.
void SayStat(const std::string& path);
void SayStat(const std::string& what, int result, const struct stat& stat);
// Opens it and says what all of it is.
void SayContent(const std::string& path);

// Which of a file's times calls change. Each call has a moment of its own.
class Times {
 public:
  explicit Times(std::string path);
  // "WHAT changed mtime ctime", and looks again.
  void Say(const std::string& what);

 private:
  struct stat Look() const;
  const std::string path_;
  struct stat before_;
};

// Runs `act` in another process, to its end, and says how that ended if not well.
void InChild(const std::function<void()>& act);
// The same as an ordinary user with that number, who is in the group of the same number.
void As(uid_t user, const std::function<void()>& act);

// Makes things without saying so; a failure ends the process, since what follows would mean nothing.
void MakeFile(const std::string& path, std::string_view content = "", mode_t mode = 0644);
void MakeDirectory(const std::string& path, mode_t mode = 0755);
void MakeLink(const std::string& path, const std::string& target);
void Check(bool well, const std::string& what);

}  // namespace lisafs::differential

#endif  // LISAFS_TESTS_DIFFERENTIAL_SAY_H_
