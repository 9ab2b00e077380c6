// Whatever bytes come: the manifest's parsers answer, and what they accept is written again as it was.
#include <xxhash.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "daybreak/track/store/format.h"

namespace dt = daybreak::track;

namespace {

void read_record(const std::string& bytes) {
  const auto head = dt::parse_record_head(bytes);
  if (!head) return;
  const auto record = dt::parse_record_body(*head, std::string_view(bytes).substr(dt::kRecordHeaderBytes));
  if (!record) return;
  const auto again = dt::write_record(*record);
  if (!again || *again != bytes) std::abort();
}

// A record whose checksums are right and whose body is the input: else no mutation would get behind them.
std::string sealed(std::string_view body) {
  dt::Record empty;
  std::string bytes = *dt::write_record(empty);
  bytes.resize(dt::kRecordHeaderBytes);
  const std::uint64_t size = body.size(), sum = XXH3_64bits(body.data(), body.size());
  std::memcpy(bytes.data() + 8, &size, 8);
  std::memcpy(bytes.data() + 16, &sum, 8);
  const std::uint64_t head_sum = XXH3_64bits(bytes.data(), dt::kRecordHeaderBytes - 8);
  std::memcpy(bytes.data() + dt::kRecordHeaderBytes - 8, &head_sum, 8);
  return bytes.append(body);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  read_record(std::string(input));
  read_record(sealed(input));
  if (const auto object = dt::parse_object(input)) {
    if (dt::write_object(*object) != input) std::abort();
  }
  return 0;
}
