#include "daybreak/rl/envs/pong_batch.h"

#include <cmath>

namespace daybreak::rl {
namespace {

// No rally gets near it; in a saved state it stands between a hostile number and the loops of the game.
constexpr double kLargest = 1e9;

class Draws final : public UniformSource {
 public:
  explicit Draws(base::Pcg64& random) : random_(random) {}
  double next() override { return random_.uniform(); }

 private:
  base::Pcg64& random_;
};

}  // namespace

base::Result<std::unique_ptr<VecEnv>> PongBatch::make(const EnvOptions& options) {
  OptionReader reader("daybreak/Pong-v0", options.options);
  DAYBREAK_ASSIGN(const std::string reward, reader.choice("reward", {"step", "win"}));
  DAYBREAK_ASSIGN(const std::int64_t limit, reader.integer("max_episode_steps", 0, 0, kNoStepLimit));
  DAYBREAK_TRY(reader.finish());
  return std::unique_ptr<VecEnv>(
      new PongBatch(options, limit == 0 ? kNoStepLimit : static_cast<std::int32_t>(limit), reward == "win"));
}

static Space unbounded_box(int n) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  return Space::box(std::vector<double>(n, -kInfinity), std::vector<double>(n, kInfinity));
}

PongBatch::PongBatch(const EnvOptions& options, std::int32_t step_limit, bool reward_win)
    : BatchEnv("daybreak/Pong-v0", options, unbounded_box(PongGame::kObservationSize),
               Space::discrete(PongGame::kActions), step_limit),
      reward_win_(reward_win),
      games_(options.num_envs) {}

base::Result<PongGame> PongBatch::game(std::int64_t row) const {
  DAYBREAK_TRY(check_row(row));
  return games_[row];
}

void PongBatch::forget(std::int64_t row) {
  games_[row] = PongGame();
}

void PongBatch::start(std::int64_t row) {
  Draws draws(random(row));
  games_[row].reset(draws);
}

void PongBatch::observe(std::int64_t row, float* observation) const {
  double exact[PongGame::kObservationSize];
  games_[row].observe(exact);
  for (int i = 0; i < PongGame::kObservationSize; ++i) observation[i] = static_cast<float>(exact[i]);
}

void PongBatch::advance(const void* actions, const StepBuffers& out, std::vector<std::int32_t>& ended) {
  const auto* choices = static_cast<const std::int32_t*>(actions);
  for (std::int64_t row = 0; row < num_envs(); ++row) {
    if (idle(row)) continue;  // moving it would use up draws
    Draws draws(random(row));
    const auto winner = games_[row].step(choices[row], draws);
    const bool over = winner != PongGame::Winner::kNobody;
    observe(row, out.observations + row * PongGame::kObservationSize);
    out.rewards[row] = !reward_win_ ? 1.0F : !over ? 0.0F : winner == PongGame::Winner::kAgent ? 1.0F : -1.0F;
    if (count_step(row, over, out)) ended.push_back(static_cast<std::int32_t>(row));
  }
}

base::Status PongBatch::check_actions(const void* actions) const {
  return check_discrete(static_cast<const std::int32_t*>(actions));
}

void PongBatch::save(BytesOut& out) const {
  for (const PongGame& game : games_) {
    PongGame::each_field(game, [&](const auto& value) { out.value(value); });
  }
}

bool PongBatch::load(BytesIn& in) {
  auto games = games_;
  bool complete = true;
  for (PongGame& game : games) {
    PongGame::each_field(game, [&]<typename T>(T& value) {
      if constexpr (std::is_same_v<T, bool>) {
        std::uint8_t byte = 0;
        complete = in.value(byte) && byte <= 1 && complete;
        value = byte == 1;
      } else {
        complete = in.value(value) && std::abs(value) <= kLargest && complete;
      }
    });
  }
  if (!complete || !in.at_end()) return false;
  games_.swap(games);
  return true;
}

}  // namespace daybreak::rl
