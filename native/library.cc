// The functions of the library that clm calls by name (src/runtime/kernelLibrary.ts); all others are hidden.
#include "decoding/decoder.h"
#include "decoding/int8.h"
#include "listening.h"
#include "math/tiles.h"
#include "operation.h"
#include "parallel.h"
#include "readingSpeed.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

// Called once a process, after libtensorflow has been loaded. Returns TensorFlow's error code; 0 is success.
EXPORTED int RegisterClmOperations() {
  TF_Status* status = TF_NewStatus();
  RegisterOperations(status);
  const int code = TF_GetCode(status);
  TF_DeleteStatus(status);
  return code;
}

// How many threads each kernel of the programs that run next may use: their number divided by that of the branches of a
// step (micro-batches computed at the same time).
EXPORTED void SetClmThreadsPerBranch(int threads) { SetThreadsPerBranch(threads); }

// Bytes per second at which the threads of the kernels read memory.
EXPORTED double ClmReadingSpeed(int64_t bytes) { return ReadingSpeed(bytes); }

// Can matrix products be computed by ClmProduct and its transposed forms on this processor?
EXPORTED int ClmHasTiles() { return HasTiles(); }

// A matrix of weights in int8, see decoding/int8.h; `packed` has room for it.
EXPORTED void ClmPackInt8(int transposed, int64_t inputs, int64_t outputs, const float* weights, void* packed) {
  PackInt8(transposed != 0, inputs, outputs, weights, static_cast<uint8_t*>(packed));
}

// A step of decoding outside of TensorFlow, see decoding/decoder.h.
EXPORTED void* ClmNewDecoder(const DecoderModel* model, const void* const* tensors, const float* frequencies,
                             const uint8_t* isRotated) {
  return new Decoder(*model, tensors, frequencies, isRotated);
}
EXPORTED void ClmDeleteDecoder(void* decoder) { delete static_cast<Decoder*>(decoder); }
EXPORTED void ClmSetDecoderCaches(void* decoder, int64_t capacity, float* const* caches) {
  static_cast<Decoder*>(decoder)->SetCaches(capacity, caches);
}
EXPORTED void ClmDecoderStep(void* decoder, int rows, const int32_t* slots, const int32_t* ids,
                             const int32_t* positions, float* logits) {
  static_cast<Decoder*>(decoder)->Step(rows, slots, ids, positions, logits);
}
EXPORTED void ClmTakeDecoderTimes(void* decoder, int64_t* counts, double* seconds) {
  static_cast<Decoder*>(decoder)->TakeTimes(counts, seconds);
}

// For tensors of memory that is not theirs: what TensorFlow calls when it no longer needs it.
EXPORTED void ClmKeep(void*, size_t, void*) {}

// Where TensorFlow's server listens, see listening.h.
EXPORTED int ClmListenOnlyOn(const char* address) { return ListenOnlyOn(address); }
EXPORTED int ClmBoundCount() { return BoundCount(); }
EXPORTED int ClmReservePort(const char* address) { return ReservePort(address); }
EXPORTED void ClmReleasePort() { ReleasePort(); }
EXPORTED int64_t ClmNetworkBytes() { return NetworkBytes(); }
