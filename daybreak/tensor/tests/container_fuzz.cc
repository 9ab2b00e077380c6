// Whatever bytes come: parse() answers, and what it accepts lies inside the bytes and can be written again.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "daybreak/tensor/container.h"

namespace dt = daybreak::tensor;

namespace {

void read(const std::string& bytes) {
  auto container = dt::Container::parse(bytes);
  if (!container) return;
  unsigned sum = 0;
  for (const auto& tensor : container->tensors()) {
    for (const std::byte b : tensor.data) sum += std::to_integer<unsigned>(b);
    if (container->find(tensor.name) != &tensor) std::abort();
  }
  dt::Metadata metadata = container->metadata();
  metadata.erase(std::string(dt::kFormatKey));
  metadata.erase(std::string(dt::kChecksumKey));
  const auto again = dt::write_container(container->tensors(), metadata);
  if (!again || !dt::Container::parse(*again)) std::abort();
  if (sum == ~0u) std::abort();  // keeps the reads
}

// A file whose framing and checksum are right and whose header entries and data are the input: without it no mutation
// would get behind the checksum. The parser's own error names the checksum that it computed.
std::string sealed(std::string_view input) {
  const std::size_t split = std::min(input.find('\n'), input.size());
  std::string header =
      R"({"__metadata__":{"daybreak.checksum":"00000000000000000000000000000000","daybreak.format":"1"},)";
  const std::size_t digits = header.find("000");
  header += std::string(input.substr(0, split)) + "}";
  std::string bytes(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, 8);
  bytes += header;
  bytes += input.substr(std::min(split + 1, input.size()));
  const auto first = dt::Container::parse(bytes);
  if (first || !first.error().message().starts_with("checksum is ")) std::abort();
  return bytes.replace(8 + digits, 32, first.error().message().substr(12, 32));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  read(std::string(input));
  read(sealed(input));
  return 0;
}
