#include "daybreak/rl/envs/vec_env.h"

#include "daybreak/rl/envs/cartpole.h"
#include "daybreak/rl/envs/pendulum.h"
#include "daybreak/rl/envs/pong_batch.h"

namespace daybreak::rl {

namespace {

constexpr std::int64_t kMaxEnvs = std::int64_t{1} << 20;  // a batch of a million CartPoles is 100 MB

struct Entry {
  std::string_view id;
  base::Result<std::unique_ptr<VecEnv>> (*make)(const EnvOptions&);
};

constexpr Entry kEntries[] = {
    {"CartPole-v1", CartPoleBatch::make},
    {"Pendulum-v1", PendulumBatch::make},
    {"daybreak/Pong-v0", PongBatch::make},
};

}  // namespace

Space Space::discrete(std::int64_t n, std::int64_t start) {
  return {.kind = Kind::kDiscrete, .n = n, .low = {}, .high = {}, .start = start};
}

Space Space::box(std::vector<double> low, std::vector<double> high) {
  DAYBREAK_CHECK(low.size() == high.size());
  const auto n = static_cast<std::int64_t>(low.size());
  return {.kind = Kind::kBox, .n = n, .low = std::move(low), .high = std::move(high), .start = 0};
}

base::Status VecEnv::reset_rows(const std::uint8_t*, const std::uint64_t*, float*) {
  return base::fail(base::Code::kUnimplemented, "these environments cannot be reset one by one");
}

std::vector<std::string> env_ids() {
  std::vector<std::string> ids;
  for (const Entry& entry : kEntries) ids.emplace_back(entry.id);
  return ids;
}

base::Result<std::unique_ptr<VecEnv>> make_vec_env(std::string_view id, const EnvOptions& options) {
  if (options.num_envs < 1 || options.num_envs > kMaxEnvs) {
    return base::fail(base::Code::kInvalidArgument, "num_envs={} is not from 1 to {}", options.num_envs, kMaxEnvs);
  }
  std::string known;
  for (const Entry& entry : kEntries) {
    if (entry.id == id) return entry.make(options);
    known += known.empty() ? "" : ", ";
    known += entry.id;
  }
  return base::fail(base::Code::kNotFound, "there is no environment '{}': there are {}", id, known);
}

}  // namespace daybreak::rl
