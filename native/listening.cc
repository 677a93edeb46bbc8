// Replaces functions in TensorFlow's libraries by writing to the tables through which they call them.
#include "listening.h"

#if defined(__linux__)

#include <arpa/inet.h>
#include <dirent.h>
#include <link.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <random>

namespace {

// The address to listen on; as IPv6 also one of IPv4 (::ffff:a.b.c.d), which a socket of both families can be bound to.
bool isIpv4 = false;
in_addr address4;
in6_addr address6;
std::atomic<int> boundCount{0};
int reserved = -1;

bool Parse(const char* text) {
  isIpv4 = inet_pton(AF_INET, text, &address4) == 1;
  if (!isIpv4) return inet_pton(AF_INET6, text, &address6) == 1;
  std::memset(&address6, 0, sizeof address6);
  address6.s6_addr[10] = address6.s6_addr[11] = 0xff;
  std::memcpy(&address6.s6_addr[12], &address4, sizeof address4);
  return true;
}

// Takes the place of bind in TensorFlow's libraries.
int BindToAddress(int socket, const sockaddr* address, socklen_t length) {
  if (address->sa_family == AF_INET6) {
    sockaddr_in6 own = *reinterpret_cast<const sockaddr_in6*>(address);
    if (IN6_IS_ADDR_UNSPECIFIED(&own.sin6_addr)) {
      own.sin6_addr = address6;
      boundCount++;
      return bind(socket, reinterpret_cast<sockaddr*>(&own), sizeof own);
    }
  }
  if (address->sa_family == AF_INET && isIpv4) {
    sockaddr_in own = *reinterpret_cast<const sockaddr_in*>(address);
    if (own.sin_addr.s_addr == INADDR_ANY) {
      own.sin_addr = address4;
      boundCount++;
      return bind(socket, reinterpret_cast<sockaddr*>(&own), sizeof own);
    }
  }
  return bind(socket, address, length);
}

// Takes the place of std::random_device::operator() there. TensorFlow serves every run of a session in a new thread,
// which draws the id of its request from a generator that is seeded with these 32 bits, and refuses a request whose id
// is among the last 100,000. Seeds by chance failed 5 of 170,000 runs ("received twice"); these are distinct.
unsigned int DistinctSeed(void*) {
  static std::atomic<uint32_t> next{std::random_device()()};
  return next += 0x9e3779b9;  // odd: comes to every number before it repeats one
}

#if defined(__x86_64__)
constexpr uint32_t kCalled = R_X86_64_JUMP_SLOT, kPointed = R_X86_64_GLOB_DAT;
#else
constexpr uint32_t kCalled = R_AARCH64_JUMP_SLOT, kPointed = R_AARCH64_GLOB_DAT;
#endif

// Replaces the addresses of a function that the dynamic linker has filled, or will fill, into a loaded library.
int Replace(const dl_phdr_info& library, const char* name, void* replacement) {
  const ElfW(Dyn)* dynamic = nullptr;
  for (int i = 0; i < library.dlpi_phnum; i++) {
    if (library.dlpi_phdr[i].p_type != PT_DYNAMIC) continue;
    dynamic = reinterpret_cast<const ElfW(Dyn)*>(library.dlpi_addr + library.dlpi_phdr[i].p_vaddr);
  }
  const char* names = nullptr;
  const ElfW(Sym)* symbols = nullptr;
  struct Table {
    const ElfW(Rela) * rows;
    size_t bytes;
  } tables[2] = {{nullptr, 0}, {nullptr, 0}};  // of calls, of pointers
  for (; dynamic != nullptr && dynamic->d_tag != DT_NULL; dynamic++) {
    const auto at = dynamic->d_un.d_ptr;
    if (dynamic->d_tag == DT_STRTAB) names = reinterpret_cast<const char*>(at);
    if (dynamic->d_tag == DT_SYMTAB) symbols = reinterpret_cast<const ElfW(Sym)*>(at);
    if (dynamic->d_tag == DT_JMPREL) tables[0].rows = reinterpret_cast<const ElfW(Rela)*>(at);
    if (dynamic->d_tag == DT_PLTRELSZ) tables[0].bytes = dynamic->d_un.d_val;
    if (dynamic->d_tag == DT_RELA) tables[1].rows = reinterpret_cast<const ElfW(Rela)*>(at);
    if (dynamic->d_tag == DT_RELASZ) tables[1].bytes = dynamic->d_un.d_val;
  }
  if (names == nullptr || symbols == nullptr) return 0;
  int replaced = 0;
  for (const Table& table : tables) {
    if (table.rows == nullptr) continue;
    for (size_t i = 0; i < table.bytes / sizeof(ElfW(Rela)); i++) {
      const uint32_t type = ELF64_R_TYPE(table.rows[i].r_info);
      if (type != kCalled && type != kPointed) continue;
      if (std::strcmp(names + symbols[ELF64_R_SYM(table.rows[i].r_info)].st_name, name) != 0) continue;
      const uintptr_t slot = library.dlpi_addr + table.rows[i].r_offset;
      const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
      if (mprotect(reinterpret_cast<void*>(slot / page * page), page, PROT_READ | PROT_WRITE) != 0) continue;
      *reinterpret_cast<void**>(slot) = replacement;
      replaced++;
    }
  }
  return replaced;
}

}  // namespace

int ListenOnlyOn(const char* address) {
  if (!Parse(address)) return 0;
  int replaced = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* library, size_t, void* sum) {
        const bool isTensorFlow = std::strstr(library->dlpi_name, "libtensorflow") != nullptr;
        if (!isTensorFlow) return 0;
        *static_cast<int*>(sum) += Replace(*library, "bind", reinterpret_cast<void*>(&BindToAddress));
        Replace(*library, "_ZNSt13random_device9_M_getvalEv", reinterpret_cast<void*>(&DistinctSeed));
        return 0;
      },
      &replaced);
  return replaced;
}

int BoundCount() { return boundCount; }

// Bound but not listening, and with SO_REUSEADDR, as gRPC sets it too: so the kernel gives the port to nobody who asks
// for any, and to gRPC, which asks for this one.
int ReservePort(const char* text) {
  in_addr four;
  sockaddr_storage address{};
  if (inet_pton(AF_INET, text, &four) == 1) {
    address.ss_family = AF_INET;
    reinterpret_cast<sockaddr_in*>(&address)->sin_addr = four;
  } else {
    address.ss_family = AF_INET6;
    if (inet_pton(AF_INET6, text, &reinterpret_cast<sockaddr_in6*>(&address)->sin6_addr) != 1) return 0;
  }
  socklen_t length = address.ss_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  ReleasePort();
  reserved = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int yes = 1;
  setsockopt(reserved, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(reserved, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      getsockname(reserved, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    ReleasePort();
    return 0;
  }
  return ntohs(address.ss_family == AF_INET ? reinterpret_cast<sockaddr_in*>(&address)->sin_port
                                            : reinterpret_cast<sockaddr_in6*>(&address)->sin6_port);
}

void ReleasePort() {
  if (reserved >= 0) close(reserved);
  reserved = -1;
}

int64_t NetworkBytes() {
  int64_t bytes = 0;
  DIR* files = opendir("/proc/self/fd");
  if (files == nullptr) return 0;
  while (const dirent* entry = readdir(files)) {
    tcp_info info{};
    socklen_t length = sizeof info;
    if (getsockopt(std::atoi(entry->d_name), IPPROTO_TCP, TCP_INFO, &info, &length) != 0) continue;
    if (length >= offsetof(tcp_info, tcpi_bytes_received) + sizeof info.tcpi_bytes_received)
      bytes += static_cast<int64_t>(info.tcpi_bytes_acked + info.tcpi_bytes_received);
  }
  closedir(files);
  return bytes;
}

#else

int ListenOnlyOn(const char*) { return 0; }
int BoundCount() { return 0; }
int ReservePort(const char*) { return 0; }
void ReleasePort() {}
int64_t NetworkBytes() { return 0; }

#endif
