// Behavioural cloning (Pomerleau 1989): a policy that does what recorded players did.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "daybreak/rl/algo/config.h"
#include "daybreak/rl/algo/learner.h"
#include "daybreak/rl/trainer.h"

namespace daybreak::rl {

// What players saw and did: `rows` samples, row-major.
struct Demonstrations {
  std::int64_t rows = 0;
  std::vector<float> observations;    // [rows][observation size]; Discrete: [rows], or one-hot
  std::vector<std::int32_t> actions;  // [rows], Discrete, as the environment takes them
  std::vector<float> box_actions;     // [rows][action size], Box, as the environment takes them
};

// Minimises the cross-entropy of the recorded actions (Box: their Gaussian negative log-likelihood) with the nets and
// the learner of the policy gradient: that gradient with every advantage 1. One thread makes every call.
class BcTrainer final : public Trainer {
 public:
  // kInvalidArgument: no rows, arrays of other lengths, an action outside the space, a number that is not finite.
  static base::Result<std::unique_ptr<BcTrainer>> make(const BcConfig& config, const EnvFactory& factory,
                                                       Demonstrations demonstrations);

  // num_epochs passes over the rows that are learned from, then the loss and the accuracy (Box: the mean squared error)
  // on those and on the rows held out.
  base::Result<IterationResult> train() override;
  // Rows learned from so far.
  std::int64_t timesteps() const override { return state_.timesteps; }
  std::shared_ptr<const Policy> policy() const override;
  base::Result<std::string> save() const override;
  // The rows are not in the checkpoint: training goes on with this trainer's own.
  base::Status restore(std::string bytes) override;
  std::string config() const override { return to_json(config_); }
  base::Status adjust(std::string_view config) override;

 private:
  BcTrainer(const BcConfig& config, const nn::ModelSpec& spec, const Space& observations, const Space& actions,
            Demonstrations demonstrations);
  // What is saved and restored beside the learner's arrays.
  struct State {
    std::int64_t timesteps = 0;
    std::int64_t iterations = 0;
    nn::Filter filter;
  };
  template <typename Archive, typename LearnerOf, typename StateOf>
  static void fields(Archive& archive, LearnerOf& learner, StateOf& state);
  struct Score {
    double loss = 0;   // mean over the rows
    double match = 0;  // share of rows whose greedy action is the recorded one; Box: mean squared error
  };
  void hold_out();
  void fill_batch();
  float unscaled(std::size_t row, std::size_t component) const;
  Score score(const Policy& policy, const std::vector<std::int64_t>& rows) const;
  const nn::ModelSpec& spec() const { return learner_.model().spec(); }

  BcConfig config_;
  const Space observation_space_, action_space_;
  const Demonstrations demonstrations_;
  std::vector<std::int64_t> training_rows_, validation_rows_;
  OnPolicyLearner learner_;
  State state_;
  SampleBatch batch_;
};

}  // namespace daybreak::rl
