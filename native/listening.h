// Where TensorFlow's server may be reached, and how much it has sent. Its gRPC listens on every interface of the
// machine, whatever host it is told; so the call of bind in TensorFlow's libraries is replaced by one that puts an
// address in the place of "every interface". Linux only.
#pragma once

#include <cstdint>

// From now on TensorFlow listens on this address (IPv4 or IPv6, in text) alone. Returns how many calls of bind in its
// libraries were replaced: 0 if there are none, or the address is not one.
int ListenOnlyOn(const char* address);

// How many sockets have been bound to that address instead of to every interface.
int BoundCount();

// A free TCP port of the address, kept for TensorFlow's server until ReleasePort: meanwhile nobody else is given it.
// Returns 0 if there is none.
int ReservePort(const char* address);
void ReleasePort();

// Bytes that the TCP connections of this process have sent (as far as they have arrived) and received.
int64_t NetworkBytes();
