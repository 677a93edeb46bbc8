// Gradient accumulation: adds the gradient of a micro-batch to sums that are kept in variables, as a stack: `adds` of
// the sums are added to it, from sum `into` + `adds` - 1 down to sum `into`, which the result replaces.
#include "../operation.h"
#include "../parallel.h"

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace {

constexpr int kFirstSum = 4, kMostSums = Execution::kMost - kFirstSum;

template <typename T>
VARIANTS void Accumulate(int64_t n, int adds, const float* const* sums, const T* gradient, float* sum) {
  constexpr int64_t kBlock = 1024;  // what is added up stays in the cache
  float total[kBlock];
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t count = begin + kBlock < n ? kBlock : n - begin;
    for (int64_t i = 0; i < count; i++) total[i] = Load(gradient + begin + i);
    for (int k = 0; k < adds; k++) {
      const float* added = sums[k] + begin;
      for (int64_t i = 0; i < count; i++) total[i] += added[i];
    }
    for (int64_t i = 0; i < count; i++) sum[begin + i] = total[i];
  }
}

// Gives the memory of a sum, but for its first and last page, back to the system until it is written again.
void Forget(float* sum, int64_t n) {
#ifdef __linux__
  static const uintptr_t page = sysconf(_SC_PAGESIZE);
  const uintptr_t first = (reinterpret_cast<uintptr_t>(sum) + page - 1) / page * page;
  const uintptr_t end = reinterpret_cast<uintptr_t>(sum + n) / page * page;
  constexpr uintptr_t kWorthwhile = 1 << 20;
  if (end > first + kWorthwhile) madvise(reinterpret_cast<void*>(first), end - first, MADV_DONTNEED);
#endif
}

struct AccumulateAttributes {
  int32_t sums = 0;
  explicit AccumulateAttributes(Construction& construction) { construction.read("N", &sums); }
};

// Inputs: handle of the first sum's variable · gradient · a scalar, how many of the sums are added to it · a scalar,
// the index of the lowest of them, or where the gradient is kept · the values of the variables, which share their
// memory. Nothing else in the program may read them.
template <typename T>
void ComputeAccumulate(Update& run, const AccumulateAttributes& attributes) {
  const int64_t n = run.size(1);
  for (int i = 2; i < kFirstSum; i++) run.expectSize(i, 1);
  for (int k = 0; k < attributes.sums; k++) run.expectSize(kFirstSum + k, n);
  if (!run.ok()) return;
  const int adds = static_cast<int>(run.scalar(2)), into = static_cast<int>(run.scalar(3));
  if (adds < 0 || into < 0 || into >= attributes.sums || into + adds > attributes.sums)
    return run.fail("there is no such sum");
  float* sums[kMostSums];
  for (int k = 0; k < attributes.sums; k++) sums[k] = run.variable(kFirstSum + k);
  const T* gradient = run.input<T>(1);
  ShareRows(n, 1 + adds, [&](int64_t first, int64_t last) {
    const float* added[kMostSums];
    for (int k = 0; k < adds; k++) added[k] = sums[into + adds - 1 - k] + first;
    Accumulate(last - first, adds, added, gradient + first, sums[into] + first);
  });
  // That was the last micro-batch: until another step needs them, a checkpoint may take their place.
  if (adds == attributes.sums)
    for (int k = 1; k < attributes.sums; k++) Forget(sums[k], n);
}

const Registration accumulate =
    Operation("ClmAccumulate", {"variable: resource", "gradient: T", "adds: float", "into: float", "sums: N * float"},
              {})
        .attribute("N: int >= 1")
        .updates()
        .shapes(ShapesOfFirst<0>)
        .kernels<ComputeAccumulate<float>, ComputeAccumulate<Bfloat16>>();

}  // namespace
