// Products of matrices, or of as many pairs as the leading dimensions say, where the processor has a unit for tiles.
// Inputs may be float32 or bfloat16, each as it is; the type of the output decides the precision, see tiles.h.
//
// M rows · K inputs · N outputs
#include "../kernel.h"
#include "../parallel.h"
#include "../math/tiles.h"

namespace {

// Multiplications that are worth a part of their own, some 20 µs.
constexpr int64_t kWorthIt = 1 << 21;
// Rows or columns that a part takes, so that what is packed for them all is packed seldom.
constexpr int64_t kMostAtOnce = 1024;

struct Sizes {
  int64_t batches, M, N, K;
};

template <bool transposedA, bool transposedB, typename A, typename B, typename C>
void Multiply(Execution& run, const Sizes& sizes, C* c) {
  const auto [batches, M, N, K] = sizes;
  const A* a = run.input<A>(0);
  const B* b = run.input<B>(1);
  const int64_t strideA = transposedA ? M : K, strideB = transposedB ? K : N;
  const auto multiply = [=](int64_t batch, int64_t m, int64_t rows, int64_t n, int64_t columns) {
    MultiplyTiles<transposedA, transposedB>(
        rows, columns, K, Matrix<A>{a + batch * M * K + (transposedA ? m : m * K), strideA},
        Matrix<B>{b + batch * K * N + (transposedB ? n * K : n), strideB}, c + batch * M * N + m * N + n, N);
  };
  const int64_t threads = ThreadsPerBranch(), work = M * N * K;
  if (threads == 1 || batches * work < 2 * kWorthIt || batches > 1) {
    const int64_t atOnce = threads == 1 ? batches : (work < kWorthIt ? kWorthIt / work + 1 : 1);
    return InParallel((batches + atOnce - 1) / atOnce, [&](int64_t part) {
      for (int64_t batch = part * atOnce; batch < batches && batch < (part + 1) * atOnce; batch++)
        multiply(batch, 0, M, 0, N);
    });
  }
  // Along the longer side, in a multiple of as many parts as there are threads.
  const int64_t length = M > N ? M : N;
  const int64_t parts = (length + kMostAtOnce * threads - 1) / (kMostAtOnce * threads) * threads;
  const int64_t share = (length + parts * 32 - 1) / (parts * 32) * 32;
  InParallel((length + share - 1) / share, [&](int64_t part) {
    const int64_t first = part * share, count = first + share < length ? share : length - first;
    M > N ? multiply(0, first, count, 0, N) : multiply(0, 0, M, first, count);
  });
}

template <bool transposedA, bool transposedB>
void ComputeProduct(void*, TF_OpKernelContext* context) {
  Execution run(context);
  const int rank = run.ok() ? run.rank(0) : 0;
  if (run.ok() && (rank < 2 || rank > Execution::kMost || run.rank(1) != rank))
    run.fail("clm: products are of matrices, or of as many on both sides");
  if (!run.ok()) return;
  Sizes sizes = {1, run.dimension(0, rank - (transposedA ? 1 : 2)), run.dimension(1, rank - (transposedB ? 2 : 1)),
                 run.dimension(0, rank - (transposedA ? 2 : 1))};
  int64_t shape[Execution::kMost];
  for (int axis = 0; axis < rank - 2; axis++) {
    shape[axis] = run.dimension(0, axis);
    sizes.batches *= shape[axis];
    if (run.dimension(1, axis) != shape[axis]) run.fail("clm: products are of as many matrices on both sides");
  }
  shape[rank - 2] = sizes.M;
  shape[rank - 1] = sizes.N;
  if (run.dimension(1, rank - (transposedB ? 1 : 2)) != sizes.K || sizes.K == 0)
    run.fail("clm: matrices that do not fit each other");
  if (!run.isHalfOutput(0)) {
    if (run.isHalf(0) || run.isHalf(1)) run.fail("clm: a product in float32 is of float32 matrices");
    float* c = run.outputOf(0, shape, rank);
    if (run.ok()) Multiply<transposedA, transposedB, float, float>(run, sizes, c);
    return;
  }
  Bfloat16* c = run.outputOf<Bfloat16>(0, shape, rank);
  if (!run.ok()) return;
  if (run.isHalf(0))
    run.isHalf(1) ? Multiply<transposedA, transposedB, Bfloat16, Bfloat16>(run, sizes, c)
                  : Multiply<transposedA, transposedB, Bfloat16, float>(run, sizes, c);
  else
    run.isHalf(1) ? Multiply<transposedA, transposedB, float, Bfloat16>(run, sizes, c)
                  : Multiply<transposedA, transposedB, float, float>(run, sizes, c);
}

// (…, M, K) and (…, K, N), one of them with these two exchanged or none → (…, M, N)
template <bool transposedA, bool transposedB>
void ProductShape(TF_ShapeInferenceContext* context, TF_Status* status) {
  const int64_t rank = RankOfInput(context, status, 0);
  std::vector<Axis> axes;
  for (int64_t axis = 0; axis < rank - 2; axis++) axes.push_back({0, axis});
  axes.push_back({0, rank - (transposedA ? 1 : 2)});
  axes.push_back({1, rank - (transposedB ? 2 : 1)});
  ShapeAlong(context, status, 0, axes);
}

template <bool transposedA, bool transposedB>
void RegisterProduct(const char* name, TF_Status* status) {
  Register({name,
            {"a: A", "b: B"},
            {"c: T"},
            {"A: {float, bfloat16}", "B: {float, bfloat16}", kProductType},
            ProductShape<transposedA, transposedB>,
            ComputeProduct<transposedA, transposedB>},
           status);
}

}  // namespace

void RegisterProducts(TF_Status* status) {
  RegisterProduct<false, false>("ClmProduct", status);
  RegisterProduct<true, false>("ClmProductTransposedA", status);
  RegisterProduct<false, true>("ClmProductTransposedB", status);
}

// May a product be one of these?
extern "C" __attribute__((visibility("default"))) int ClmHasTiles() { return HasTiles(); }
