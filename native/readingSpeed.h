// How fast the threads of the kernels read memory, which bounds the speed of sampling.
#pragma once

#include <cstdint>

// Bytes per second of the median of some passes over `bytes` of memory, on the threads of InParallel; 0 if there is not
// so much memory. It is kept for the next call: to get it from the system takes longer than to read it.
double ReadingSpeed(int64_t bytes);
