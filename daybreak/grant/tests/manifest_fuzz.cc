// Whatever bytes come: a manifest is read or refused, and what is read answers for every resource that it lists.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "daybreak/grant/encryption/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace daybreak::grant;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto manifest = Manifest::decode(bytes);
  if (!manifest) return 0;
  if (manifest->encode() != bytes) std::abort();
  const EpochRange range = EpochRange::covering(manifest->epochs(), manifest->validity());
  for (const auto& resource : manifest->resources()) static_cast<void>(manifest->key(resource, range.first));
  return 0;
}
