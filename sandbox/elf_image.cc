#include "sandbox/elf_image.h"

#include <alloca.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

namespace lisafs {
namespace {

#if defined(__x86_64__)
constexpr Elf64_Half kMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr Elf64_Half kMachine = EM_AARCH64;
#endif

constexpr uintptr_t kPage = 4096;  // The least that segments are aligned to; a kernel with larger pages refuses them.

constexpr uintptr_t PageStart(uintptr_t address) { return address & ~(kPage - 1); }
constexpr uintptr_t PageEnd(uintptr_t address) { return PageStart(address + kPage - 1); }

bool ReadExactly(int file, void* to, size_t size, off_t offset) {
  return pread(file, to, size, offset) == static_cast<ssize_t>(size);
}

int Protection(const Elf64_Phdr& segment) {
  return ((segment.p_flags & PF_R) ? PROT_READ : 0) | ((segment.p_flags & PF_W) ? PROT_WRITE : 0) |
         ((segment.p_flags & PF_X) ? PROT_EXEC : 0);
}

size_t Count(char** list) {
  size_t count = 0;
  while (list[count] != nullptr) ++count;
  return count;
}

// Where a program begins: the stack pointer on its arguments, and no function to call at exit.
[[noreturn]] void Jump(uintptr_t entry, const uintptr_t* stack) {
#if defined(__x86_64__)
  asm volatile("mov %0, %%rsp\n\txor %%edx, %%edx\n\txor %%ebp, %%ebp\n\tjmp *%1" ::"r"(stack), "r"(entry)
               : "memory", "rdx");
#elif defined(__aarch64__)
  asm volatile("mov sp, %0\n\tmov x0, #0\n\tmov x29, #0\n\tmov x30, #0\n\tbr %1" ::"r"(stack), "r"(entry)
               : "memory", "x0");
#endif
  __builtin_unreachable();
}

}  // namespace

const char* ElfImage::Map(const char* path) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return strerror(errno);
  const char* why = ReadHeaders(file);
  if (why == nullptr) why = ChooseBase();
  for (int i = 0; why == nullptr && i < header_.e_phnum; ++i) {
    if (segments_[i].p_type == PT_LOAD) why = MapSegment(file, segments_[i]);
  }
  close(file);
  return why;
}

const char* ElfImage::ReadHeaders(int file) {
  if (!ReadExactly(file, &header_, sizeof header_, 0) || memcmp(header_.e_ident, ELFMAG, SELFMAG) != 0 ||
      header_.e_ident[EI_CLASS] != ELFCLASS64 || header_.e_machine != kMachine ||
      (header_.e_type != ET_EXEC && header_.e_type != ET_DYN)) {
    return "not a program of this machine";
  }
  if (header_.e_phentsize != sizeof(Elf64_Phdr) || header_.e_phnum == 0 || header_.e_phnum > kMaxHeaders ||
      !ReadExactly(file, segments_, sizeof(Elf64_Phdr) * header_.e_phnum, static_cast<off_t>(header_.e_phoff))) {
    return "its program headers cannot be read";
  }
  for (int i = 0; i < header_.e_phnum; ++i) {
    if (segments_[i].p_type == PT_INTERP) return "is linked dynamically; a static one is needed";
  }
  return nullptr;
}

const char* ElfImage::ChooseBase() {
  if (header_.e_type == ET_EXEC) return nullptr;
  uintptr_t end = 0;
  for (int i = 0; i < header_.e_phnum; ++i) {
    if (segments_[i].p_type == PT_LOAD) end = std::max(end, PageEnd(segments_[i].p_vaddr + segments_[i].p_memsz));
  }
  void* room = mmap(nullptr, end, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return strerror(errno);
  // Nobody else maps anything meanwhile.
  munmap(room, end);
  base_ = reinterpret_cast<uintptr_t>(room);
  return nullptr;
}

const char* ElfImage::MapSegment(int file, const Elf64_Phdr& segment) {
  uintptr_t begin = base_ + segment.p_vaddr, file_end = begin + segment.p_filesz, end = begin + segment.p_memsz;
  auto at = [](uintptr_t address) { return reinterpret_cast<void*>(address); };
  uintptr_t anonymous = PageStart(begin);
  if (segment.p_filesz > 0) {
    off_t offset = static_cast<off_t>(PageStart(segment.p_offset));
    if (mmap(at(PageStart(begin)), file_end - PageStart(begin), Protection(segment), MAP_PRIVATE | MAP_FIXED_NOREPLACE,
             file, offset) == MAP_FAILED) {
      return strerror(errno);
    }
    anonymous = PageEnd(file_end);
    if (end > file_end) memset(at(file_end), 0, std::min(anonymous, end) - file_end);
  }
  if (end > anonymous && mmap(at(anonymous), end - anonymous, Protection(segment),
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED) {
    return strerror(errno);
  }
  return nullptr;
}

void ElfImage::Enter(const char* path, char** argv, char** environment) const {
  size_t arguments = Count(argv), variables = Count(environment);
  const auto* auxiliary = reinterpret_cast<const Elf64_auxv_t*>(environment + variables + 1);
  size_t entries = 1;
  while (auxiliary[entries - 1].a_type != AT_NULL) ++entries;

  // argc, argv, its null, the environment, its null, the auxiliary vector: what the kernel hands to a new program.
  size_t words = 1 + arguments + 1 + variables + 1 + 2 * entries;
  auto* stack = static_cast<uintptr_t*>(alloca(words * sizeof(uintptr_t) + 16));
  stack = reinterpret_cast<uintptr_t*>((reinterpret_cast<uintptr_t>(stack) + 15) & ~uintptr_t{15});
  uintptr_t* next = stack;
  *next++ = arguments;
  for (size_t i = 0; i <= arguments; ++i) *next++ = reinterpret_cast<uintptr_t>(argv[i]);
  for (size_t i = 0; i <= variables; ++i) *next++ = reinterpret_cast<uintptr_t>(environment[i]);

  uintptr_t headers = 0;
  for (int i = 0; i < header_.e_phnum; ++i) {
    const Elf64_Phdr& segment = segments_[i];
    if (segment.p_type == PT_LOAD && header_.e_phoff >= segment.p_offset &&
        header_.e_phoff < segment.p_offset + segment.p_filesz) {
      headers = base_ + segment.p_vaddr + (header_.e_phoff - segment.p_offset);
    }
  }
  for (size_t i = 0; i < entries; ++i) {
    uintptr_t value = auxiliary[i].a_un.a_val;
    switch (auxiliary[i].a_type) {
      case AT_PHDR:
        value = headers;
        break;
      case AT_PHENT:
        value = header_.e_phentsize;
        break;
      case AT_PHNUM:
        value = header_.e_phnum;
        break;
      case AT_BASE:
        value = 0;
        break;
      case AT_ENTRY:
        value = base_ + header_.e_entry;
        break;
      case AT_EXECFN:
        value = reinterpret_cast<uintptr_t>(path);
        break;
    }
    *next++ = auxiliary[i].a_type;
    *next++ = value;
  }
  Jump(base_ + header_.e_entry, stack);
}

}  // namespace lisafs
