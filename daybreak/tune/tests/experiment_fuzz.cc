// Whatever bytes come: a record of an experiment is refused, or is one that is written as the same bytes and read again.
#include <cmath>
#include <cstdlib>
#include <string_view>

#include "daybreak/tune/experiment.h"

namespace tune = daybreak::tune;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (bytes.empty()) return 0;
  const std::uint32_t kind = tune::kFirstExperimentKind + (data[0] & 15u);
  if (const auto record = tune::decoded(kind, bytes.substr(1))) {
    if (tune::kind_of(*record) != kind) std::abort();
    const std::string again = tune::encoded(*record);
    if (again != bytes.substr(1)) std::abort();
    if (!tune::decoded(kind, again)) std::abort();
  }
  const auto results = tune::Experiment::unpacked(bytes.substr(1));
  if (!results) return 0;
  std::string packed;
  for (const tune::ResultRecord& result : *results) tune::Experiment::pack(packed, result);
  if (packed != bytes.substr(1)) std::abort();
  return 0;
}
