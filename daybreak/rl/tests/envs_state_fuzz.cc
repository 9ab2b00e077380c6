// A saved state from someone else: whatever its bytes, it is refused or the environments go on. The checksum is made
// right, so that the input reaches what lies behind it.
#include <xxhash.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "daybreak/rl/envs/vec_env.h"

using daybreak::rl::Autoreset;
using daybreak::rl::make_vec_env;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::vector<std::string> ids = daybreak::rl::env_ids();
  const auto autoreset = static_cast<Autoreset>(data[1] % 3);
  auto made = make_vec_env(ids[data[0] % ids.size()], {.num_envs = 3, .autoreset = autoreset});
  if (!made) __builtin_trap();
  daybreak::rl::VecEnv& env = **made;
  const std::int64_t width = env.observation_space().n;
  std::vector<float> observations(3 * width), rewards(3), finals(3 * width);
  std::vector<std::uint8_t> terminated(3), truncated(3);
  const std::int32_t actions[3] = {};  // and three float zeros
  if (!env.reset(1, observations.data())) __builtin_trap();

  std::string bytes = env.save_state();
  bytes.resize(bytes.size() - sizeof(std::uint64_t));
  const std::size_t first = bytes.find('\n', bytes.find('\n') + 1) + 1;
  for (std::size_t i = 2; i < size && first + i - 2 < bytes.size(); ++i)
    bytes[first + i - 2] ^= static_cast<char>(data[i]);
  const std::uint64_t sum = XXH3_64bits(bytes.data(), bytes.size());
  bytes.append(reinterpret_cast<const char*>(&sum), sizeof sum);

  if (!env.load_state(bytes)) return 0;
  for (int t = 0; t < 50; ++t) {
    if (!env.step(actions, {observations.data(), rewards.data(), terminated.data(), truncated.data(), finals.data()}))
      break;
  }
  return 0;
}
