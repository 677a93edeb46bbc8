// Moves memory that is read again and again into pages of 2 MB, while other threads read it. A mapped file has small
// ones, and looking them up takes 3 to 9 % of the time of a token. Only Linux has what this needs.
#pragma once

#include <atomic>
#include <cstdint>

// The contents stay as they are; nobody may write to them meanwhile. Ends early if `isStopped` becomes true, or if the
// system has no such pages.
void MoveToLargePages(const void* memory, int64_t bytes, const std::atomic<bool>& isStopped);
