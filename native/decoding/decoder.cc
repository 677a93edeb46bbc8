// See decoder.h.
#include "decoder.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "../math/activations.h"
#include "../math/normRow.h"
#include "../parallel.h"
#include "fewRows.h"
#include "int8.h"

namespace {

// The order of the tensors, as in src/model/nativeStep.ts.
constexpr int kOfModel = 5, kOfBlock = 16;

// The threads share normalising from this many numbers on.
constexpr int64_t kSharedNorm = 1 << 14;

VARIANTS void NormaliseRow(int64_t width, bool isCentred, float epsilon, const float* x, const float* gain,
                           const float* bias, float* y) {
  float mean, inverse;
  NormRow(width, isCentred, epsilon, x, gain, y, &mean, &inverse);
  if (bias == nullptr) return;
  for (int64_t i = 0; i < width; i++) y[i] += bias[i];
}

VARIANTS void AddTo(int64_t n, const float* __restrict x, float* __restrict y) {
  for (int64_t i = 0; i < n; i++) y[i] += x[i];
}

VARIANTS void Gelu(int64_t n, float* y) {
  for (int64_t i = 0; i < n; i++) y[i] = GeluOf(y[i]);
}

// y = silu(gate) · y
VARIANTS void Swiglu(int64_t n, const float* __restrict gate, float* __restrict y) {
  for (int64_t i = 0; i < n; i++) y[i] = SiluOf(gate[i]) * y[i];
}

// Row `row` of a matrix (N, C) in float32, into y (C).
void ReadRow(StoredAs storedAs, int64_t C, int64_t N, int64_t row, const void* matrix, float* y) {
  if (storedAs == StoredAs::kInt8) {
    std::vector<float> blocks(BlockCount(C) * kBlock);
    UnpackInt8(BlockCount(C), N, row, static_cast<const uint8_t*>(matrix), blocks.data());
    std::copy_n(blocks.data(), C, y);
  } else if (storedAs == StoredAs::kBfloat16) {
    for (int64_t i = 0; i < C; i++) y[i] = Load(static_cast<const Bfloat16*>(matrix) + row * C + i);
  } else {
    std::copy_n(static_cast<const float*>(matrix) + row * C, C, y);
  }
}

// body(first, last) for ranges of this length that together are [0, N).
template <typename Body>
void InRanges(int64_t N, int64_t length, const Body& body) {
  InParallel((N + length - 1) / length,
             [&](int64_t part) { body(part * length, std::min(part * length + length, N)); });
}

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

Decoder::Decoder(const DecoderModel& model, const void* const* tensors, const float* frequencies,
                 const uint8_t* isRotated)
    : model_(model) {
  const int64_t C = model.width, H = model.heads, K = model.keyValueHeads, D = model.headSize;
  const int64_t F = model.feedForwardWidth;
  if (frequencies != nullptr) frequencies_.assign(frequencies, frequencies + D / 2);
  const auto vector = [](const void* tensor) { return static_cast<const float*>(tensor); };
  const auto matrix = [&](int64_t inputs, int64_t outputs, const void* const* weightsAndBias) {
    return Matrix{inputs, outputs, false, weightsAndBias[0], vector(weightsAndBias[1])};
  };
  tokens_ = tensors[0];
  positions_ = tensors[1];
  finalNorm_ = {vector(tensors[2]), vector(tensors[3])};
  head_ = {C, model.vocabularySize, true, tensors[4], nullptr};
  for (int64_t layer = 0; layer < model.layers; layer++) {
    const void* const* own = tensors + kOfModel + layer * kOfBlock;
    Block block{};
    block.attentionNorm = {vector(own[0]), vector(own[1])};
    block.queryKeyValue = matrix(C, (H + 2 * K) * D, own + 2);
    block.queryGain = vector(own[4]);
    block.keyGain = vector(own[5]);
    block.output = matrix(H * D, C, own + 6);
    block.feedForwardNorm = {vector(own[8]), vector(own[9])};
    block.gate = matrix(C, F, own + 10);
    block.up = matrix(C, F, own + 12);
    block.down = matrix(F, C, own + 14);
    block.isRotated = isRotated[layer] != 0;
    blocks_.push_back(block);
  }
}

// Products of the same rows with matrices of equal sizes; `finish` is called for ranges of columns once all of their
// products are there.
template <typename Finish>
void Decoder::Multiply(int64_t R, const float* x, std::initializer_list<Product> products, const Finish& finish) {
  switch (model_.weights) {
    case StoredAs::kFloat32:
      return MultiplyFloats<float>(R, x, products, finish);
    case StoredAs::kBfloat16:
      return MultiplyFloats<Bfloat16>(R, x, products, finish);
    case StoredAs::kInt8:
      const int64_t K = products.begin()->matrix->K, N = products.begin()->matrix->N;
      const Int8Rows rows(R, K, x);
      InRanges(N, Int8Part(R, K, N), [&](int64_t first, int64_t last) {
        for (const auto& [matrix, y] : products)
          MultiplyInt8(rows, N, static_cast<const uint8_t*>(matrix->weights), matrix->bias, first, last, y);
        finish(first, last);
      });
  }
}

template <typename T, typename Finish>
void Decoder::MultiplyFloats(int64_t R, const float* x, std::initializer_list<Product> products, const Finish& finish) {
  const Matrix& first = *products.begin()->matrix;
  const int64_t K = first.K, N = first.N;
  if (first.isTransposed) {
    InRanges(N, RowsPart(R, K, N), [&](int64_t begin, int64_t end) {
      for (const auto& [matrix, y] : products)
        MultiplyRows(R, K, N, begin, end, x, static_cast<const T*>(matrix->weights), y);
      finish(begin, end);
    });
  } else {
    std::vector<ColumnsProduct<T>> columns;
    for (const auto& [matrix, y] : products)
      columns.push_back({static_cast<const T*>(matrix->weights), matrix->bias, y});
    MultiplyColumns(R, K, N, x, columns.size(), columns.data(), finish);
  }
}

void Decoder::SetCaches(int64_t capacity, float* const* caches) {
  capacity_ = capacity;
  for (size_t layer = 0; layer < blocks_.size(); layer++) {
    blocks_[layer].keys = caches[2 * layer];
    blocks_[layer].values = caches[2 * layer + 1];
  }
}

void Decoder::Step(int64_t R, const int32_t* slots, const int32_t* ids, const int32_t* positions, float* logits) {
  const HelpersAwake awake;
  const DenormalsAsZero flushed;
  const int64_t C = model_.width, F = model_.feedForwardWidth;
  const int64_t heads = (model_.heads + 2 * model_.keyValueHeads) * model_.headSize;
  lastEnd_ = Now();
  residual_.resize(R * C);
  normalised_.resize(R * C);
  projected_.resize(R * heads);
  attended_.resize(R * model_.heads * model_.headSize);
  gate_.resize(model_.isGated ? R * F : 0);
  up_.resize(R * F);
  angles_.resize(2 * R * model_.headSize);
  Embed(R, ids, positions);
  SetAngles(R, positions);
  End(kEmbedding);
  const auto addToResidual = [&](int64_t first, int64_t last) {
    for (int64_t r = 0; r < R; r++)
      AddTo(last - first, normalised_.data() + r * C + first, residual_.data() + r * C + first);
  };
  const auto activate = [&](int64_t first, int64_t last) {
    for (int64_t r = 0; r < R; r++) {
      float* up = up_.data() + r * F + first;
      if (model_.isGated)
        Swiglu(last - first, gate_.data() + r * F + first, up);
      else
        Gelu(last - first, up);
    }
  };
  const auto nothing = [](int64_t, int64_t) {};
  float *normalised = normalised_.data(), *projected = projected_.data(), *gate = gate_.data(), *up = up_.data();
  for (const Block& block : blocks_) {
    Normalise(R, block.attentionNorm);
    Multiply(R, normalised, {{&block.queryKeyValue, projected}}, nothing);
    End(kProducts);
    Attend(R, block, slots, positions);
    Multiply(R, attended_.data(), {{&block.output, normalised}}, addToResidual);
    End(kProducts);
    Normalise(R, block.feedForwardNorm);
    if (model_.isGated)
      Multiply(R, normalised, {{&block.gate, gate}, {&block.up, up}}, activate);
    else
      Multiply(R, normalised, {{&block.up, up}}, activate);
    Multiply(R, up, {{&block.down, normalised}}, addToResidual);
    End(kProducts);
  }
  Normalise(R, finalNorm_);
  Multiply(R, normalised, {{&head_, logits}}, nothing);
  End(kOutput);
}

// What has been done since the last call was this part.
void Decoder::End(Part part) {
  const double now = Now();
  counts_[part]++;
  times_[part] += now - lastEnd_;
  lastEnd_ = now;
}

void Decoder::TakeTimes(int64_t* counts, double* seconds) {
  std::copy_n(counts_, kParts, counts);
  std::copy_n(times_, kParts, seconds);
  std::fill_n(counts_, kParts, 0);
  std::fill_n(times_, kParts, 0.0);
}

void Decoder::Embed(int64_t R, const int32_t* ids, const int32_t* positions) {
  const int64_t C = model_.width;
  std::vector<float> learned(positions_ == nullptr ? 0 : C);
  for (int64_t r = 0; r < R; r++) {
    float* x = residual_.data() + r * C;
    ReadRow(model_.weights, C, model_.vocabularySize, ids[r], tokens_, x);
    if (positions_ == nullptr) continue;
    ReadRow(model_.positions, C, 0, positions[r], positions_, learned.data());
    AddTo(C, learned.data(), x);
  }
}

void Decoder::SetAngles(int64_t R, const int32_t* positions) {
  const int64_t D = model_.headSize, half = D / 2;
  if (frequencies_.empty()) return;
  for (int64_t r = 0; r < R; r++)
    for (int64_t i = 0; i < half; i++) {
      const float angle = static_cast<float>(positions[r]) * frequencies_[i];
      float *cosines = angles_.data() + r * D, *sines = cosines + R * D;
      cosines[i] = cosines[half + i] = std::cos(angle);
      sines[half + i] = std::sin(angle);
      sines[i] = -sines[half + i];
    }
}

// The residual stream, normalised.
void Decoder::Normalise(int64_t R, const Norm& norm) {
  const int64_t C = model_.width;
  const auto normalise = [&](int64_t r) {
    NormaliseRow(C, model_.isCentred != 0, model_.epsilon, residual_.data() + r * C, norm.gain, norm.bias,
                 normalised_.data() + r * C);
  };
  if (R * C >= kSharedNorm)
    InParallel(R, normalise);
  else
    for (int64_t r = 0; r < R; r++) normalise(r);
  End(kNorms);
}

void Decoder::Attend(int64_t R, const Block& block, const int32_t* slots, const int32_t* positions) {
  const int64_t K = model_.keyValueHeads, D = model_.headSize, G = model_.heads / K, S = capacity_;
  heads_.clear();
  for (int64_t part = 0; part < R * K; part++) {
    const int64_t r = part / K, k = part % K;
    const float *row = projected_.data() + r * (G + 2) * K * D, *angles = angles_.data() + r * D;
    const Angles own = block.isRotated ? Angles{angles, angles + R * D} : Angles{nullptr, nullptr};
    const int64_t inCache = (slots[r] * K + k) * S * D;
    heads_.push_back({G, D, 1 + positions[r], row + k * G * D, row + (G * K + k) * D, row + (G * K + K + k) * D,
                      block.queryGain, block.keyGain, model_.epsilon, own, block.keys + inCache,
                      block.values + inCache, attended_.data() + part * G * D});
  }
  AttendHeads(heads_);
  End(kAttention);
}
