// See largePages.h.
#include "largePages.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstring>

#if defined(__linux__) && defined(MADV_HUGEPAGE)

namespace {

constexpr uintptr_t kPage = 1 << 21;

// Two pages hold an aligned one; what is beside it is given back. Null if there is no memory.
char* NewPage() {
  void* twice = mmap(nullptr, 2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (twice == MAP_FAILED) return nullptr;
  char* start = static_cast<char*>(twice);
  const uintptr_t before = (kPage - reinterpret_cast<uintptr_t>(start) % kPage) % kPage;
  if (before > 0) munmap(start, before);
  munmap(start + before + kPage, kPage - before);
  return start + before;
}

}  // namespace

void MoveToLargePages(const void* memory, int64_t bytes, const std::atomic<bool>& isStopped) {
  const uintptr_t start = reinterpret_cast<uintptr_t>(memory), end = start + bytes;
  for (uintptr_t page = (start + kPage - 1) / kPage * kPage; page + kPage <= end && !isStopped.load(); page += kPage) {
    char* copy = NewPage();
    if (copy == nullptr) return;
    const bool isLarge = madvise(copy, kPage, MADV_HUGEPAGE) == 0;
    if (isLarge) std::memcpy(copy, reinterpret_cast<const void*>(page), kPage);
    // Whoever reads there meanwhile finds the old page or waits for the new one.
    const int how = MREMAP_MAYMOVE | MREMAP_FIXED;
    if (isLarge && mremap(copy, kPage, kPage, how, reinterpret_cast<void*>(page)) != MAP_FAILED) continue;
    munmap(copy, kPage);
    return;
  }
}

#else

void MoveToLargePages(const void*, int64_t, const std::atomic<bool>&) {}

#endif
