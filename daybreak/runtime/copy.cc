#include "daybreak/runtime/copy.h"

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace daybreak::runtime {

void copy_bytes(void* to, const void* from, std::size_t size) {
#if defined(__x86_64__)
  if (size >= kStreamBytes) {
    auto* d = static_cast<std::byte*>(to);
    auto* s = static_cast<const std::byte*>(from);
    std::size_t head = (16 - reinterpret_cast<std::uintptr_t>(d) % 16) % 16;
    std::memcpy(d, s, head);
    d += head, s += head, size -= head;
    for (; size >= 64; size -= 64, d += 64, s += 64) {
      _mm_prefetch(reinterpret_cast<const char*>(s + 1024), _MM_HINT_NTA);
      __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(s));
      __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(s + 16));
      __m128i c = _mm_loadu_si128(reinterpret_cast<const __m128i*>(s + 32));
      __m128i e = _mm_loadu_si128(reinterpret_cast<const __m128i*>(s + 48));
      _mm_stream_si128(reinterpret_cast<__m128i*>(d), a);
      _mm_stream_si128(reinterpret_cast<__m128i*>(d + 16), b);
      _mm_stream_si128(reinterpret_cast<__m128i*>(d + 32), c);
      _mm_stream_si128(reinterpret_cast<__m128i*>(d + 48), e);
    }
    _mm_sfence();
    std::memcpy(d, s, size);
    return;
  }
#endif
  if (size != 0) std::memcpy(to, from, size);
}

}  // namespace daybreak::runtime
