// Gradient accumulation: adds the gradient of a micro-batch to sums that are kept in variables, as a binary counter
// adds 1: `adds` of the sums are added to the gradient, in order, and the result is kept in sum `into`.
#include "../operation.h"
#include "../parallel.h"

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

struct AccumulateAttributes {
  int32_t sums = 0;
  explicit AccumulateAttributes(Construction& construction) { construction.read("N", &sums); }
};

// Inputs: handle of the first sum's variable · gradient · a scalar, how many of the sums are added to it · a scalar,
// the index of the sum that is replaced by the result · the values of the variables, which share their memory. Nothing
// else in the program may read them.
template <typename T>
void ComputeAccumulate(Update& run, const AccumulateAttributes& attributes) {
  const int64_t n = run.size(1);
  for (int i = 2; i < kFirstSum; i++) run.expectSize(i, 1);
  for (int k = 0; k < attributes.sums; k++) run.expectSize(kFirstSum + k, n);
  if (!run.ok()) return;
  const int adds = static_cast<int>(run.scalar(2)), into = static_cast<int>(run.scalar(3));
  if (adds < 0 || adds > attributes.sums || into < 0 || into >= attributes.sums)
    return run.fail("there is no such sum");
  float* sums[kMostSums];
  for (int k = 0; k < attributes.sums; k++) sums[k] = run.variable(kFirstSum + k);
  const T* gradient = run.input<T>(1);
  ShareRows(n, 1 + adds, [&](int64_t first, int64_t last) {
    const float* added[kMostSums];
    for (int k = 0; k < adds; k++) added[k] = sums[k] + first;
    Accumulate(last - first, adds, added, gradient + first, sums[into] + first);
  });
}

const Registration accumulate =
    Operation("ClmAccumulate", {"variable: resource", "gradient: T", "adds: float", "into: float", "sums: N * float"},
              {})
        .attribute("N: int >= 1")
        .updates()
        .shapes(ShapesOfFirst<0>)
        .kernels<ComputeAccumulate<float>, ComputeAccumulate<Bfloat16>>();

}  // namespace
