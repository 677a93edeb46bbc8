// A whole step of decoding, from the next token of each text to its logits, outside of TensorFlow: for a token of a
// small model its executor takes longer than the arithmetic, and between two products of a large one the helper threads
// fall asleep. Weights and caches are those of TensorFlow's variables, in place.
//
// R texts that get a token · C width · H heads · K key/value heads · D head size · F feed-forward width · V vocabulary
// size · S capacity of a text in positions
#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

#include "../math/vectors.h"
#include "cachedHead.h"

enum class StoredAs : int32_t { kFloat32, kBfloat16, kInt8 };

// What src/runtime/decoding/decoder.ts says about a model.
struct DecoderModel {
  int64_t layers, width, heads, keyValueHeads, headSize, feedForwardWidth, vocabularySize;
  StoredAs weights, positions;  // of matrices; of learned positions
  int32_t isCentred;            // LayerNorm rather than RMSNorm
  int32_t isGated;              // SwiGLU rather than GELU
  float epsilon;
};

class Decoder {
 public:
  enum Part { kEmbedding, kNorms, kProducts, kAttention, kOutput, kParts };

  // The tensors are in the order of src/model/nativeStep.ts, null for what the model does not have. Blocks of which
  // `isRotated` (layers) is not 0 have RoPE with these frequencies (D/2).
  Decoder(const DecoderModel& model, const void* const* tensors, const float* frequencies, const uint8_t* isRotated);

  // The keys and values of all blocks: of each (slots, K, S, D).
  void SetCaches(int64_t capacity, float* const* caches);

  // Appends a token to the texts in R slots: token ids and their positions → logits (R, V).
  void Step(int64_t R, const int32_t* slots, const int32_t* ids, const int32_t* positions, float* logits);

  // How often each part was done since the last call, and seconds in all.
  void TakeTimes(int64_t* counts, double* seconds);

 private:
  struct Matrix {
    int64_t K, N;
    bool isTransposed;
    const void* weights;
    const float* bias;
  };
  struct Product {
    const Matrix* matrix;
    float* y;
  };
  struct Norm {
    const float *gain, *bias;
  };
  struct Block {
    Norm attentionNorm, feedForwardNorm;
    Matrix queryKeyValue, output, gate, up, down;
    const float *queryGain, *keyGain;
    bool isRotated;
    float *keys, *values;
  };

  void Embed(int64_t R, const int32_t* ids, const int32_t* positions);
  void SetAngles(int64_t R, const int32_t* positions);
  void Normalise(int64_t R, const Norm& norm);
  void Attend(int64_t R, const Block& block, const int32_t* slots, const int32_t* positions);
  template <typename Finish>
  void Multiply(int64_t R, const float* x, std::initializer_list<Product> products, const Finish& finish);
  template <typename T, typename Finish>
  static void MultiplyFloats(int64_t R, const float* x, std::initializer_list<Product> products, const Finish& finish);
  void End(Part part);

  const DecoderModel model_;
  const void *tokens_, *positions_;
  Norm finalNorm_;
  Matrix head_;
  std::vector<Block> blocks_;
  std::vector<float> frequencies_;
  int64_t capacity_ = 0;
  // Of R rows each; of the angles the cosines, then the sines.
  std::vector<float> residual_, normalised_, projected_, attended_, gate_, up_, angles_;
  std::vector<CachedHead> heads_;
  int64_t counts_[kParts] = {};
  double times_[kParts] = {}, lastEnd_ = 0;
};
