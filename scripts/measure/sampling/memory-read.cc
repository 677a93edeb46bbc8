// How fast all cores together read memory: 512 MB, each core its own part in order, the best of 12 passes, in GB/s.
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

int main() {
  constexpr size_t kFloats = 128u << 20;
  const unsigned threads = std::thread::hardware_concurrency();
  std::vector<float> numbers(kFloats, 1.0f);
  const size_t share = kFloats / threads / 64 * 64;
  double best = 0;
  float total = 0;
  for (int pass = 0; pass < 12; pass++) {
    std::vector<float> sums(threads * 64);
    std::vector<std::thread> readers;
    const auto start = std::chrono::steady_clock::now();
    for (unsigned t = 0; t < threads; t++)
      readers.emplace_back([&, t] {
        float lanes[64] = {};
        const float* from = numbers.data() + t * share;
        for (size_t i = 0; i < share; i += 64) {
          for (int line = 0; line < 4; line++) __builtin_prefetch(from + i + 512 + 16 * line);
          for (int lane = 0; lane < 64; lane++) lanes[lane] += from[i + lane];
        }
        for (int lane = 0; lane < 64; lane++) sums[t * 64] += lanes[lane];
      });
    for (std::thread& reader : readers) reader.join();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    for (unsigned t = 0; t < threads; t++) total += sums[t * 64];
    const double speed = threads * share * sizeof(float) / seconds / 1e9;
    if (speed > best) best = speed;
  }
  std::printf("%.2f\n", total > 0 ? best : 0.0);
}
