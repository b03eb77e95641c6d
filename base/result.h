#ifndef LISAFS_BASE_RESULT_H_
#define LISAFS_BASE_RESULT_H_

#include <errno.h>

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace lisafs {

// A Linux errno, always positive.
class Errno {
 public:
  constexpr explicit Errno(int value) : value_(value) {}
  // The calling thread's errno: to be read directly after the call that failed.
  static Errno Last() { return Errno(errno); }

  constexpr int value() const { return value_; }
  friend constexpr bool operator==(Errno, Errno) = default;

  // "ENOENT: No such file or directory"; "errno 4095" for a number that Linux does not name.
  std::string ToString() const;

 private:
  int value_;
};

// What a call on the data plane gives: a value, or the errno that says why there is none.
template <typename T>
using Result = tl::expected<T, Errno>;
using Status = Result<void>;

// A step of a program's set-up that failed: what was tried, and the errno. For Die(error.what, error.error.ToString()).
struct StepError {
  std::string what;
  Errno error;
};
template <typename T>
using StepResult = tl::expected<T, StepError>;

inline tl::unexpected<StepError> FailStep(std::string what, Errno error) {
  return tl::unexpected<StepError>(StepError{std::move(what), error});
}
// Reads errno.
inline tl::unexpected<StepError> FailStepWithErrno(const char* what) {
  Errno error = Errno::Last();
  return FailStep(what, error);
}

inline tl::unexpected<Errno> Fail(int error) { return tl::unexpected<Errno>(Errno(error)); }
inline tl::unexpected<Errno> Fail(Errno error) { return tl::unexpected<Errno>(error); }
inline tl::unexpected<Errno> FailWithErrno() { return tl::unexpected<Errno>(Errno::Last()); }

}  // namespace lisafs

// Evaluates `expr`, a Result; on failure returns its error from the enclosing function, otherwise assigns the value to
// `lhs`, which may declare a variable.
#define LISAFS_CONCAT_(a, b) a##b
#define LISAFS_CONCAT(a, b) LISAFS_CONCAT_(a, b)
#define LISAFS_ASSIGN_OR_RETURN(lhs, expr)                                                                \
  auto LISAFS_CONCAT(result_, __LINE__) = (expr);                                                         \
  if (!LISAFS_CONCAT(result_, __LINE__)) return ::lisafs::Fail(LISAFS_CONCAT(result_, __LINE__).error()); \
  lhs = std::move(*LISAFS_CONCAT(result_, __LINE__))
#define LISAFS_RETURN_IF_ERROR(expr)                                             \
  do {                                                                           \
    if (auto result_ = (expr); !result_) return ::lisafs::Fail(result_.error()); \
  } while (false)

#endif  // LISAFS_BASE_RESULT_H_
