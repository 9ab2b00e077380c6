#include "daybreak/runtime/copy.h"

#include <cstdint>
#include <cstring>
#include <system_error>
#include <thread>

#include "daybreak/base/machine.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace daybreak::runtime {

namespace {

constexpr std::size_t kTwoThreadBytes = 64U << 20;  // from here on one core does not fill the memory's bandwidth

#if defined(__x86_64__)
__attribute__((target("avx2"))) void stream_avx2(std::byte* to, const std::byte* from, std::size_t size) {
  std::size_t head = (32 - reinterpret_cast<std::uintptr_t>(to) % 32) % 32;
  std::memcpy(to, from, head);
  to += head, from += head, size -= head;
  for (; size >= 128; size -= 128, to += 128, from += 128) {
    __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + 32));
    __m256i c = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + 64));
    __m256i d = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + 96));
    _mm256_stream_si256(reinterpret_cast<__m256i*>(to), a);
    _mm256_stream_si256(reinterpret_cast<__m256i*>(to + 32), b);
    _mm256_stream_si256(reinterpret_cast<__m256i*>(to + 64), c);
    _mm256_stream_si256(reinterpret_cast<__m256i*>(to + 96), d);
  }
  _mm_sfence();
  std::memcpy(to, from, size);
}
#endif

void stream(std::byte* to, const std::byte* from, std::size_t size, base::CpuLevel level) {
#if defined(__x86_64__)
  if (level >= base::CpuLevel::kAvx2) return stream_avx2(to, from, size);
#endif
  std::memcpy(to, from, size);
}

}  // namespace

void copy_bytes(void* to, const void* from, std::size_t size) {
  static const base::CpuLevel level = base::cpu_level();
  copy_bytes(to, from, size, level);
}

void copy_bytes(void* to, const void* from, std::size_t size, base::CpuLevel level) {
  if (size == 0) return;
  static const bool kOneCore = base::this_machine().cores < 2;
  auto* d = static_cast<std::byte*>(to);
  const auto* s = static_cast<const std::byte*>(from);
  if (size < kStreamBytes) {
    std::memcpy(d, s, size);
  } else if (size < kTwoThreadBytes || kOneCore) {
    stream(d, s, size, level);
  } else {
    std::size_t half = size / 2 / 4096 * 4096;
    std::thread other;
    try {
      other = std::thread([d, s, half, level] { stream(d, s, half, level); });
    } catch (const std::system_error&) {  // no more threads are possible here: alone, then
      stream(d, s, half, level);
    }
    stream(d + half, s + half, size - half, level);
    if (other.joinable()) other.join();
  }
}

}  // namespace daybreak::runtime
