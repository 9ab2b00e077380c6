// Whatever bytes come: records answer, what is accepted is written again as it was, and what follows from them holds.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "daybreak/tune/records.h"
#include "daybreak/tune/study_state.h"

namespace dt = daybreak::tune;

// A sequence of records: kind (1 byte), size (2 bytes), body.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  dt::StudiesState state;
  while (input.size() >= 3) {
    const auto byte = [&](std::size_t at) { return std::size_t{static_cast<unsigned char>(input[at])}; };
    const auto kind = static_cast<std::uint32_t>(byte(0));
    const std::string_view body = input.substr(3, byte(1) | (byte(2) << 8U));
    input.remove_prefix(3 + body.size());
    const auto record = dt::decode_record(kind, body);
    if (!record) continue;
    const auto again = dt::encode_record(*record);
    if (!again || *again != body) std::abort();
    if (!state.apply(*record)) continue;
    for (std::uint32_t id = 0; id < state.studies(); ++id) {
      const dt::StudyState* const study = state.study(id);
      if (study == nullptr) continue;
      if (study->facts.size() != study->trials.size() || study->columns.size() != study->trials.columns()) std::abort();
      for (const std::uint32_t waiting : study->waiting) {
        if (study->trials.state(waiting) != dt::State::kWaiting) std::abort();
      }
    }
  }
  return 0;
}
