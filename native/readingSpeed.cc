// Only reads, in long runs and from large pages, as the kernels read weights; nothing is computed but a sum.
#include "readingSpeed.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <vector>

#include "math/lanes.h"
#include "parallel.h"

namespace {

constexpr int kPasses = 5;
constexpr int64_t kPageBytes = 1 << 21;
constexpr int64_t kPartNumbers = 1 << 22;

VARIANTS float Total(int64_t n, const float* x) {
  constexpr int kAtOnce = 8;
  Lanes sums[kAtOnce] = {};
  for (int64_t i = 0; i < n; i += kAtOnce * kLanes)
#pragma GCC unroll 8
    for (int j = 0; j < kAtOnce; j++) {
      __builtin_prefetch(x + i + j * kLanes + 1024);
      sums[j] += LoadLanes(x + i + j * kLanes);
    }
  float total = 0;
  for (int j = 0; j < kAtOnce; j++) total += SumOf(sums[j]);
  return total;
}

// Memory of some parts, all ones. Written, because memory that nobody has written to is not read from anywhere.
struct Numbers {
  Numbers() = default;
  explicit Numbers(int64_t count) {
    const int64_t bytes = count * kPartNumbers * sizeof(float);
    void* start = nullptr;
    if (posix_memalign(&start, kPageBytes, bytes) != 0) return;
#if defined(__linux__)
    madvise(start, bytes, MADV_HUGEPAGE);
#endif
    memory.reset(static_cast<float*>(start));
    parts = count;
    InParallel(count, [&](int64_t part) { std::fill_n(memory.get() + part * kPartNumbers, kPartNumbers, 1.0f); });
  }
  int64_t parts = 0;
  std::unique_ptr<float[], decltype(&std::free)> memory{nullptr, &std::free};
};

}  // namespace

double ReadingSpeed(int64_t bytes) {
  static Numbers kept;
  const int64_t parts = std::max<int64_t>(1, bytes / (kPartNumbers * sizeof(float)));
  if (kept.parts != parts) kept = Numbers(parts);
  const float* numbers = kept.memory.get();
  if (numbers == nullptr) return 0;
  std::vector<float> totals(parts);
  std::vector<double> speeds;
  for (int pass = 0; pass < kPasses; pass++) {
    const auto start = std::chrono::steady_clock::now();
    InParallel(parts, [&](int64_t part) { totals[part] += Total(kPartNumbers, numbers + part * kPartNumbers); });
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    speeds.push_back(parts * kPartNumbers * sizeof(float) / seconds.count());
  }
  // The sums are used, or the compiler would leave out the reading.
  const bool isRead = std::all_of(totals.begin(), totals.end(), [](float total) { return total > 0; });
  std::nth_element(speeds.begin(), speeds.begin() + kPasses / 2, speeds.end());
  return isRead ? speeds[kPasses / 2] : 0;
}
