// Matrix products, also of batches of matrices. On a tile unit, each input may be float32 or bfloat16; the type of the
// output determines the precision, see math/tiles.h. On vector instructions all are float32, see math/panels.h.
//
// a (…, M, K) · b (…, K, N) → c (…, M, N), where a or b may be stored transposed
#include "../math/panels.h"
#include "../math/tiles.h"
#include "../operation.h"
#include "../parallel.h"

namespace {

// Multiplications of a part, at least: some 20 µs.
constexpr int64_t kMinimalWork = 1 << 21;
// Rows or columns of a part, at most: a part packs the whole other matrix, so parts should be few.
constexpr int64_t kMostAtOnce = 1024;

struct Sizes {
  int64_t batches, M, N, K;
};

// c = a · b, divided among the threads of the branch.
template <bool transposedA, bool transposedB, typename A, typename B, typename C>
void Multiply(const Sizes& sizes, const A* a, const B* b, C* c) {
  const int64_t batches = sizes.batches, M = sizes.M, N = sizes.N, K = sizes.K;
  const int64_t strideA = transposedA ? M : K, strideB = transposedB ? K : N;
  // Rows [m, m + rows) and columns [n, n + columns) of one product.
  const auto multiply = [=](int64_t batch, int64_t m, int64_t rows, int64_t n, int64_t columns) {
    MultiplyTiles<transposedA, transposedB>(
        rows, columns, K, Matrix<A>{a + batch * M * K + (transposedA ? m : m * K), strideA},
        Matrix<B>{b + batch * K * N + (transposedB ? n * K : n), strideB}, c + batch * M * N + m * N + n, N);
  };
  const int64_t threads = ThreadsPerBranch(), work = M * N * K;
  if (threads == 1 || batches * work < 2 * kMinimalWork || batches > 1) {
    const int64_t atOnce = threads == 1 ? batches : (work < kMinimalWork ? kMinimalWork / work + 1 : 1);
    return InParallel((batches + atOnce - 1) / atOnce, [&](int64_t part) {
      for (int64_t batch = part * atOnce; batch < batches && batch < (part + 1) * atOnce; batch++)
        multiply(batch, 0, M, 0, N);
    });
  }
  // Divided along the longer side, into as many parts as there are threads or a multiple of that.
  const int64_t length = M > N ? M : N;
  const int64_t parts = (length + kMostAtOnce * threads - 1) / (kMostAtOnce * threads) * threads;
  const int64_t share = (length + parts * 32 - 1) / (parts * 32) * 32;
  InParallel((length + share - 1) / share, [&](int64_t part) {
    const int64_t first = part * share, count = first + share < length ? share : length - first;
    if (M > N)
      multiply(0, first, count, 0, N);
    else
      multiply(0, 0, M, first, count);
  });
}

template <bool onTiles, bool transposedA, bool transposedB, typename A, typename B, typename C>
void ComputeProduct(Execution& run) {
  const auto misfit = [&](const char* rule) {
    run.fail(std::string(rule) + "; got " + run.shapeText(0) + " and " + run.shapeText(1));
  };
  const int rank = run.rank(0);
  if (rank < 2 || rank > Execution::kMost || run.rank(1) != rank)
    return misfit("a product needs two matrices, or two batches of matrices");
  Sizes sizes = {1, run.dimension(0, rank - (transposedA ? 1 : 2)), run.dimension(1, rank - (transposedB ? 2 : 1)),
                 run.dimension(0, rank - (transposedA ? 2 : 1))};
  int64_t shape[Execution::kMost];
  for (int axis = 0; axis < rank - 2; axis++) {
    shape[axis] = run.dimension(0, axis);
    sizes.batches *= shape[axis];
    if (run.dimension(1, axis) != shape[axis]) misfit("the batches of a product must be of the same size");
  }
  shape[rank - 2] = sizes.M;
  shape[rank - 1] = sizes.N;
  if (run.dimension(1, rank - (transposedB ? 1 : 2)) != sizes.K || sizes.K == 0)
    misfit("the inner dimensions of a product must be the same and not 0");
  C* c = run.output<C>(0, shape, rank);
  if (!run.ok()) return;
  if constexpr (onTiles)
    Multiply<transposedA, transposedB>(sizes, run.input<A>(0), run.input<B>(1), c);
  else
    MultiplyPanels<transposedA, transposedB>(sizes.batches, sizes.M, sizes.K, sizes.N, run.input(0), run.input(1),
                                             nullptr, c);
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

template <bool transposedA, bool transposedB, typename A, typename B, typename C>
void AddKernel(Operation& operation) {
  operation.kernel<ComputeProduct<true, transposedA, transposedB, A, B, C>>(
      {{"A", kTypeOf<A>}, {"B", kTypeOf<B>}, {"T", kTypeOf<C>}});
}

template <bool transposedA, bool transposedB>
Operation Product(const char* name) {
  Operation operation(name, {"a: A", "b: B"}, {"c: T"});
  for (const char* types : {"A: {float, bfloat16}", "B: {float, bfloat16}", "T: {float, bfloat16}"})
    operation.attribute(types);
  operation.shapes(ProductShape<transposedA, transposedB>);
  AddKernel<transposedA, transposedB, float, float, float>(operation);
  AddKernel<transposedA, transposedB, float, float, Bfloat16>(operation);
  AddKernel<transposedA, transposedB, float, Bfloat16, Bfloat16>(operation);
  AddKernel<transposedA, transposedB, Bfloat16, float, Bfloat16>(operation);
  AddKernel<transposedA, transposedB, Bfloat16, Bfloat16, Bfloat16>(operation);
  return operation;
}

template <bool transposedA, bool transposedB>
Operation VectorProduct(const char* name) {
  Operation operation(name, {"a: float", "b: float"}, {"c: float"});
  operation.shapes(ProductShape<transposedA, transposedB>);
  operation.kernel<ComputeProduct<false, transposedA, transposedB, float, float, float>>();
  return operation;
}

const Registration product = Product<false, false>("ClmProduct");
const Registration productTransposedA = Product<true, false>("ClmProductTransposedA");
const Registration productTransposedB = Product<false, true>("ClmProductTransposedB");
const Registration vectorProduct = VectorProduct<false, false>("ClmVectorProduct");
const Registration vectorProductTransposedA = VectorProduct<true, false>("ClmVectorProductTransposedA");
const Registration vectorProductTransposedB = VectorProduct<false, true>("ClmVectorProductTransposedB");

}  // namespace
