// Any bytes are a value or an error, and a tensor never reaches beyond them.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "daybreak/runtime/native.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // A heap copy of exactly this size, so that the address sanitizer sees a read behind the end.
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(data[i]);
  auto value = daybreak::runtime::parse_value(bytes);
  if (!value) return 0;
  if (const auto* tensor = std::get_if<daybreak::runtime::TensorView>(&*value)) {
    const std::byte* end = tensor->data.data() + tensor->data.size();
    if (!tensor->data.empty() && (tensor->data.data() < bytes.data() || end > bytes.data() + bytes.size()))
      std::abort();
  }
  return 0;
}
