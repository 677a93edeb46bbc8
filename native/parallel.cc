// The helper threads of InParallel. While a token is sampled, microseconds pass between products, so a helper without
// work spins for a while before it sleeps: waking it takes as long as the work itself.
#include "parallel.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif
#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace {

constexpr int kMostThreads = 8;  // two or three cores already saturate the memory of a small machine
constexpr int kSpins = 2000;     // 30 to 100 µs
constexpr uint64_t kPartBits = 32;
constexpr uint64_t kNoPart = (uint64_t{1} << kPartBits) - 1;

// How a thread rounds and whether it flushes denormals to 0, as TensorFlow's threads do. Helpers take over the mode of
// the thread they help, or else the bits of a result would depend on which thread computed it.
#if defined(__x86_64__)
constexpr uint64_t kDenormalsAsZero = 0x8040;  // of results, of operands
inline uint64_t FloatMode() { return _mm_getcsr(); }
inline void SetFloatMode(uint64_t mode) { _mm_setcsr(static_cast<unsigned>(mode)); }
#elif defined(__aarch64__)
constexpr uint64_t kDenormalsAsZero = 1 << 24;
inline uint64_t FloatMode() {
  uint64_t mode;
  asm volatile("mrs %0, fpcr" : "=r"(mode));
  return mode;
}
inline void SetFloatMode(uint64_t mode) { asm volatile("msr fpcr, %0" ::"r"(mode)); }
#else
constexpr uint64_t kDenormalsAsZero = 0;
inline uint64_t FloatMode() { return 0; }
inline void SetFloatMode(uint64_t) {}
#endif

inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Where a helper is. Linux often wakes a thread on the processor of the thread that wakes it, though another one is
// idle, and moves it milliseconds later: longer than most parts take. So a helper that is on the processor of the
// thread it is to help is sent away.
#if defined(__linux__)
class Place {
 public:
  // By the helper itself.
  void Enter() { thread_.store(static_cast<pid_t>(syscall(SYS_gettid))); }
  void Note() { processor_.store(sched_getcpu(), std::memory_order_relaxed); }

  // By the thread on `processor`: the helper may be on all others that this thread may be on.
  void Leave(int processor) {
    const pid_t thread = thread_.load();
    if (processor_.load(std::memory_order_relaxed) != processor || thread == 0) return;
    cpu_set_t others;
    if (sched_getaffinity(0, sizeof others, &others) != 0) return;
    CPU_CLR(processor, &others);
    if (CPU_COUNT(&others) == 0 || sched_setaffinity(thread, sizeof others, &others) != 0) return;
    processor_.store(-1, std::memory_order_relaxed);
  }

 private:
  std::atomic<pid_t> thread_{0};
  std::atomic<int> processor_{-1};
};
inline int Processor() { return sched_getcpu(); }
#else
struct Place {
  void Enter() {}
  void Note() {}
  void Leave(int) {}
};
inline int Processor() { return 0; }
#endif

class Crew {
 public:
  Crew() {
    for (int i = 1; i < ThreadCount(); i++) std::thread([this, i] { Help(places_[i]); }).detach();
  }

  void Run(int64_t parts, void (*body)(int64_t, const void*), const void* context) {
    // One job at a time: a thread that finds the crew busy does its parts alone, until the crew is free for the rest.
    int64_t first = 0;
    while (!busy_.try_lock()) {
      body(first++, context);
      if (first == parts) return;
    }
    const uint64_t job = (next_.load() >> kPartBits) + 1;
    next_.store(job << kPartBits | kNoPart);
    body_.store(body);
    context_.store(context);
    parts_.store(parts);
    floatMode_.store(FloatMode());
    done_.store(first);
    next_.store(job << kPartBits | static_cast<uint64_t>(first));
    const int processor = Processor();
    for (int i = 1; i < ThreadCount(); i++) places_[i].Leave(processor);
    Wake();
    TakeParts(job);
    // Yields in the end, because a helper that was preempted in the middle of a part needs a core to finish it.
    for (int spin = 0; done_.load() < parts; spin++) {
      if (spin < kSpins)
        Pause();
      else
        std::this_thread::yield();
    }
    busy_.unlock();
  }

  // Helpers spin for as long as this has been called more often with true than with false.
  void KeepAwake(bool awake) {
    awake_.fetch_add(awake ? 1 : -1);
    if (awake) Wake();
  }

 private:
  void Wake() {
    if (sleeping_.load() == 0) return;
    std::lock_guard<std::mutex> lock(mutex_);
    wake_.notify_all();
  }

  // Runs parts of a job until none is left. A part is claimed by incrementing `next_`, which also holds the number of
  // the job, so a late helper cannot claim a part of a job that is over.
  void TakeParts(uint64_t job) {
    for (uint64_t next = next_.load();;) {
      const auto body = body_.load();
      const auto context = context_.load();
      const int64_t part = next & kNoPart;
      if (next >> kPartBits != job || part >= parts_.load()) return;
      if (!next_.compare_exchange_weak(next, next + 1)) continue;
      SetFloatMode(floatMode_.load());
      body(part, context);
      done_.fetch_add(1);
      next = next_.load();
    }
  }

  void Help(Place& place) {
    place.Enter();
    uint64_t seen = 0;
    // A job that is being set up has no parts yet: a helper that took it for seen would miss it.
    const auto isNew = [&] {
      const uint64_t next = next_.load();
      return next >> kPartBits != seen && (next & kNoPart) != kNoPart;
    };
    for (;;) {
      place.Note();
      for (int spin = 0; spin < kSpins && !isNew(); spin = awake_.load() > 0 ? 0 : spin + 1) Pause();
      if (!isNew()) {
        std::unique_lock<std::mutex> lock(mutex_);
        sleeping_.fetch_add(1);
        wake_.wait(lock, [&] { return isNew() || awake_.load() > 0; });
        sleeping_.fetch_sub(1);
      }
      if (!isNew()) continue;
      seen = next_.load() >> kPartBits;
      TakeParts(seen);
    }
  }

  Place places_[kMostThreads];
  std::mutex busy_;
  std::atomic<uint64_t> next_{kNoPart};  // the number of the job, and its next part in the lower bits
  std::atomic<int64_t> parts_{0}, done_{0};
  std::atomic<uint64_t> floatMode_{0};
  std::atomic<void (*)(int64_t, const void*)> body_{nullptr};
  std::atomic<const void*> context_{nullptr};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<int> sleeping_{0}, awake_{0};
};

Crew& TheCrew() {
  static Crew* crew = new Crew;  // never deleted: its threads end with the process
  return *crew;
}

std::atomic<int> threadsPerBranch{1};

}  // namespace

int ThreadCount() {
  static const int count = std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kMostThreads);
  return count;
}

void RunParts(int64_t parts, void (*body)(int64_t, const void*), const void* context) {
  if (parts == 1) return body(0, context);
  TheCrew().Run(parts, body, context);
}

HelpersAwake::HelpersAwake() { TheCrew().KeepAwake(true); }
HelpersAwake::~HelpersAwake() { TheCrew().KeepAwake(false); }

DenormalsAsZero::DenormalsAsZero() : before_(FloatMode()) { SetFloatMode(before_ | kDenormalsAsZero); }
DenormalsAsZero::~DenormalsAsZero() { SetFloatMode(before_); }

int ThreadsPerBranch() { return threadsPerBranch.load(std::memory_order_relaxed); }

void SetThreadsPerBranch(int threads) { threadsPerBranch.store(threads); }
