// How fast the threads of the kernels read memory, which bounds the speed of sampling.
#pragma once

#include <cstdint>

// Bytes per second of the fastest of some passes over `bytes` of memory, on the threads of InParallel; 0 if there is
// not so much memory.
double ReadingSpeed(int64_t bytes);
