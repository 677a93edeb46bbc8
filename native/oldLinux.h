// Included first by every file of the kernels and of tfjs-node's binding, so that what a new Linux compiles runs on an
// old one as well: on any with glibc 2.27 and GCC 7's libstdc++, which is what libtensorflow itself asks for.
#pragma once

#include <new>

#if defined(__linux__) && defined(__GLIBC__) && defined(__GLIBCXX__)

// These functions are in newer libraries twice, under an older and a newer version: the older one is asked for.
#if defined(__x86_64__)
__asm__(".symver pthread_mutex_trylock,pthread_mutex_trylock@GLIBC_2.2.5");
#elif defined(__aarch64__)
__asm__(".symver pthread_mutex_trylock,pthread_mutex_trylock@GLIBC_2.17");
#endif
__asm__(
    ".symver _ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE,"
    "_ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE@GLIBCXX_3.4.11");

// Only newer ones have this function, which "new" of an array calls for absurd sizes.
namespace std {
[[noreturn]] __attribute__((weak, visibility("hidden"))) void __throw_bad_array_new_length() {
  throw bad_array_new_length();
}
}  // namespace std

#endif
