// The compiler flags of the kernels, read by scripts/setup/kernels.mjs, which adds TensorFlow's headers and libraries.

export const compilerFlags = [
  ...['-O3', '-std=c++17', '-pthread'],
  // No -march: one library serves every x86-64 processor (see VARIANTS in math/vectors.h). No -ffast-math: sums keep
  // the order in which the source writes them.
  ...['-fno-math-errno', '-fno-trapping-math'], // loops with sqrt and comparisons vectorise
  ...['-shared', '-fPIC', '-fvisibility=hidden'], // only the functions of library.cc are exported
];
