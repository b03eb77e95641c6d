#ifndef LISAFS_SANDBOX_ELF_IMAGE_H_
#define LISAFS_SANDBOX_ELF_IMAGE_H_

#include <elf.h>

#include <cstdint>

namespace lisafs {

// A static program, mapped into this process as execve(2) would map it and entered in place: the process becomes it,
// and stays, for /proc/self/exe, the program that it was. (ld.so PROGRAM does this for dynamic programs.)
//
// Uses no heap and nothing but libc. What this process has mapped stays mapped; it must lie where PROGRAM does not, so
// it is to be a position-independent program.
class ElfImage {
 public:
  // Maps the program at `path`. Gives null, or a reason: then the process has nothing to do but to end.
  const char* Map(const char* path);

  // Starts it: on the calling thread, which must be the only one, with these arguments and the environment exactly as
  // the kernel laid it down, since what follows it (the auxiliary vector) is needed, too. `path` must stay valid.
  [[noreturn]] void Enter(const char* path, char** argv, char** environment) const;

 private:
  static constexpr int kMaxHeaders = 32;

  const char* ReadHeaders(int file);
  const char* ChooseBase();
  const char* MapSegment(int file, const Elf64_Phdr& segment);

  Elf64_Ehdr header_;
  Elf64_Phdr segments_[kMaxHeaders];
  uintptr_t base_ = 0;  // What is added to every address in the file.
};

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_ELF_IMAGE_H_
