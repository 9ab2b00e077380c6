// Whatever bytes come: the manifest's parsers answer, and what they accept is written again as it was.
#include <xxhash.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "daybreak/store/format.h"

namespace ds = daybreak::store;

namespace {

void read_record(const std::string& bytes) {
  const auto head = ds::parse_record_head(bytes);
  if (!head) return;
  const auto record = ds::parse_record_body(*head, std::string_view(bytes).substr(ds::kRecordHeaderBytes));
  if (!record) return;
  const auto again = ds::write_record(*record);
  if (!again || *again != bytes) std::abort();
}

// A record whose checksums are right and whose body is the input: else no mutation would get behind them.
std::string sealed(std::string_view body) {
  ds::Record empty;
  std::string bytes = *ds::write_record(empty);
  bytes.resize(ds::kRecordHeaderBytes);
  const std::uint64_t size = body.size(), sum = XXH3_64bits(body.data(), body.size());
  std::memcpy(bytes.data() + 8, &size, 8);
  std::memcpy(bytes.data() + 16, &sum, 8);
  const std::uint64_t head_sum = XXH3_64bits(bytes.data(), ds::kRecordHeaderBytes - 8);
  std::memcpy(bytes.data() + ds::kRecordHeaderBytes - 8, &head_sum, 8);
  return bytes.append(body);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  read_record(std::string(input));
  read_record(sealed(input));
  if (const auto object = ds::parse_object(input)) {
    if (ds::write_object(*object) != input) std::abort();
  }
  return 0;
}
