// What a trainer can be told. One struct for the on-policy algorithms, one for imitation, one
// for DQN; each names its fields once, in
// `fields`, from which reading JSON, writing JSON, the list of valid names and their help are made.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daybreak/base/error.h"

namespace daybreak::rl {

// A number that may change with the time steps done: straight lines between points, constant outside them.
struct Schedule {
  std::vector<std::pair<double, double>> points;              // (time step, value), at least one, by time step
  Schedule(double constant = 0) : points{{0.0, constant}} {}  // NOLINT: a number is a schedule
  double at(std::int64_t timestep) const;
};

struct OnPolicyConfig {
  std::string algo = "ppo";  // ppo, a2c, pg
  // sampling
  std::string env;
  std::map<std::string, std::string> env_options;
  std::int64_t num_envs = 8;
  std::int64_t num_steps = 128;
  std::uint64_t seed = 0;
  std::int64_t num_threads = 1;
  double reward_scale = 1;
  // model
  std::vector<int> hidden = {64, 64};
  std::string activation = "tanh";
  bool shared = false;
  std::string init = "orthogonal";
  double log_std_init = 0;
  bool use_sde = false;
  std::int64_t sde_sample_freq = -1;
  bool normalize_observations = false;
  double observation_clip = 10;
  bool normalize_rewards = false;
  double reward_clip = 10;
  // learning
  double gamma = 0.99;
  double gae_lambda = 0.95;
  std::int64_t minibatch_size = 64;
  std::int64_t num_epochs = 10;
  Schedule lr = 3e-4;
  Schedule clip = 0.2;
  double value_clip = 0;
  double value_coef = 0.5;
  Schedule entropy_coef = 0.0;
  bool normalize_advantage = true;
  double max_grad_norm = 0.5;
  double kl_coef = 0;
  double kl_target = 0;
  double target_kl = 0;
  std::string optimizer = "adam";
  double rmsprop_alpha = 0.99;
  double rmsprop_eps = 1e-5;
  double adam_eps = 1e-5;
  double adam_beta1 = 0.9;
  double adam_beta2 = 0.999;

  template <typename Self, typename F>
  static void fields(Self& c, F&& f) {
    f("algo", c.algo, "ppo, a2c or pg");
    f("env", c.env, "environment id");
    f("env_options", c.env_options, "options of the environment");
    f("num_envs", c.num_envs, "environments stepped together");
    f("num_steps", c.num_steps, "steps of each environment in an iteration");
    f("seed", c.seed, "everything random follows from it");
    f("num_threads", c.num_threads, "threads of sampling and learning");
    f("reward_scale", c.reward_scale, "rewards are multiplied by it before learning");
    f("hidden", c.hidden, "sizes of the hidden layers");
    f("activation", c.activation, "tanh or relu");
    f("shared", c.shared, "actor and critic share their hidden layers");
    f("init", c.init, "orthogonal, normc or uniform");
    f("log_std_init", c.log_std_init, "initial log standard deviation of Box actions");
    f("use_sde", c.use_sde, "noise of Box actions depends on the state (gSDE, Raffin et al. 2021)");
    f("sde_sample_freq", c.sde_sample_freq, "steps between two draws of gSDE's noise; -1: one draw an iteration");
    f("normalize_observations", c.normalize_observations, "running mean and deviation filter, part of the policy");
    f("observation_clip", c.observation_clip, "limit of filtered observations");
    f("normalize_rewards", c.normalize_rewards, "rewards are divided by the running deviation of their discounted sum");
    f("reward_clip", c.reward_clip, "limit of normalised rewards");
    f("gamma", c.gamma, "discount");
    f("gae_lambda", c.gae_lambda, "lambda of generalised advantage estimation");
    f("minibatch_size", c.minibatch_size, "samples of one gradient step; 0: all of them");
    f("num_epochs", c.num_epochs, "passes over the samples of an iteration");
    f("lr", c.lr, "learning rate (schedule)");
    f("clip", c.clip, "PPO's ratio clip (schedule)");
    f("value_clip", c.value_clip, "limit of a value's change in an iteration; 0: none");
    f("value_coef", c.value_coef, "weight of the value loss");
    f("entropy_coef", c.entropy_coef, "weight of the entropy bonus (schedule)");
    f("normalize_advantage", c.normalize_advantage, "advantages of a minibatch to mean 0, deviation 1");
    f("max_grad_norm", c.max_grad_norm, "global gradient norm clip; 0: none");
    f("kl_coef", c.kl_coef, "weight of the KL penalty; adapted when kl_target > 0");
    f("kl_target", c.kl_target, "KL that kl_coef is steered to; 0: kl_coef stays");
    f("target_kl", c.target_kl, "an iteration's epochs stop when KL exceeds 1.5 times this; 0: never");
    f("optimizer", c.optimizer, "adam, rmsprop (PyTorch's) or rmsprop_tf (TensorFlow's)");
    f("rmsprop_alpha", c.rmsprop_alpha, "RMSprop's decay");
    f("rmsprop_eps", c.rmsprop_eps, "RMSprop's epsilon");
    f("adam_eps", c.adam_eps, "Adam's epsilon");
    f("adam_beta1", c.adam_beta1, "Adam's first decay");
    f("adam_beta2", c.adam_beta2, "Adam's second decay");
  }
};

struct BcConfig {
  std::string algo = "bc";
  std::string env;
  std::map<std::string, std::string> env_options;
  std::uint64_t seed = 0;
  std::int64_t num_threads = 1;
  std::vector<int> hidden = {64, 64};
  std::string activation = "tanh";
  std::string init = "orthogonal";
  double log_std_init = 0;
  bool normalize_observations = true;
  double observation_clip = 10;
  std::int64_t minibatch_size = 64;
  std::int64_t num_epochs = 1;
  double validation_fraction = 0.1;
  Schedule lr = 1e-3;
  Schedule entropy_coef = 0.0;
  double max_grad_norm = 0;
  double adam_eps = 1e-8;
  double adam_beta1 = 0.9;
  double adam_beta2 = 0.999;

  template <typename Self, typename F>
  static void fields(Self& c, F&& f) {
    f("algo", c.algo, "bc");
    f("env", c.env, "environment id: its spaces are the policy's, and evaluate() plays it");
    f("env_options", c.env_options, "options of the environment");
    f("seed", c.seed, "everything random follows from it");
    f("num_threads", c.num_threads, "threads of learning");
    f("hidden", c.hidden, "sizes of the hidden layers; none: logistic regression");
    f("activation", c.activation, "tanh or relu");
    f("init", c.init, "orthogonal, normc or uniform");
    f("log_std_init", c.log_std_init, "initial log standard deviation of Box actions");
    f("normalize_observations", c.normalize_observations,
      "mean and deviation of the training rows, part of the policy");
    f("observation_clip", c.observation_clip, "limit of filtered observations");
    f("minibatch_size", c.minibatch_size, "rows of one gradient step; 0: all of them");
    f("num_epochs", c.num_epochs, "passes over the training rows of an iteration");
    f("validation_fraction", c.validation_fraction, "share of the rows that is not learned from, only measured on");
    f("lr", c.lr, "learning rate (schedule over rows learned from)");
    f("entropy_coef", c.entropy_coef, "weight of the entropy bonus (schedule)");
    f("max_grad_norm", c.max_grad_norm, "global gradient norm clip; 0: none");
    f("adam_eps", c.adam_eps, "Adam's epsilon");
    f("adam_beta1", c.adam_beta1, "Adam's first decay");
    f("adam_beta2", c.adam_beta2, "Adam's second decay");
  }
};

struct DqnConfig {
  std::string env;
  std::map<std::string, std::string> env_options;
  std::int64_t num_envs = 1;
  std::uint64_t seed = 0;
  double reward_scale = 1;
  std::vector<int> hidden = {64, 64};
  std::string activation = "relu";
  double gamma = 0.99;
  Schedule lr = 1e-4;
  std::int64_t batch_size = 32;
  std::int64_t buffer_size = 100000;
  std::int64_t learning_starts = 1000;
  std::int64_t train_freq = 4;
  std::int64_t gradient_steps = 1;
  std::int64_t steps_per_iteration = 1000;
  std::int64_t target_update_interval = 1000;
  double tau = 1;
  double exploration_initial_eps = 1;
  double exploration_final_eps = 0.05;
  std::int64_t exploration_timesteps = 10000;
  double max_grad_norm = 10;
  bool double_q = true;
  bool dueling = false;
  std::int64_t n_step = 1;
  bool prioritized_replay = false;
  double prioritized_alpha = 0.6;
  Schedule prioritized_beta = 0.4;
  double adam_eps = 1e-8;

  template <typename Self, typename F>
  static void fields(Self& c, F&& f) {
    f("env", c.env, "environment id");
    f("env_options", c.env_options, "options of the environment");
    f("num_envs", c.num_envs, "environments stepped together");
    f("seed", c.seed, "everything random follows from it");
    f("reward_scale", c.reward_scale, "rewards are multiplied by it before learning");
    f("hidden", c.hidden, "sizes of the hidden layers");
    f("activation", c.activation, "tanh or relu");
    f("gamma", c.gamma, "discount");
    f("lr", c.lr, "learning rate (schedule)");
    f("batch_size", c.batch_size, "transitions of one gradient step");
    f("buffer_size", c.buffer_size, "transitions kept");
    f("learning_starts", c.learning_starts, "time steps before the first gradient step");
    f("train_freq", c.train_freq, "time steps between two rounds of learning");
    f("gradient_steps", c.gradient_steps, "gradient steps of a round");
    f("steps_per_iteration", c.steps_per_iteration, "time steps of one train(), at least one round");
    f("target_update_interval", c.target_update_interval, "time steps between two updates of the target net");
    f("tau", c.tau, "how far the target net moves towards the net at an update");
    f("exploration_initial_eps", c.exploration_initial_eps, "chance of a random action at the start");
    f("exploration_final_eps", c.exploration_final_eps, "chance of a random action at the end");
    f("exploration_timesteps", c.exploration_timesteps, "time steps from the first to the last of these");
    f("max_grad_norm", c.max_grad_norm, "global gradient norm clip; 0: none");
    f("double_q", c.double_q, "the net chooses the action that the target net values (double DQN)");
    f("dueling", c.dueling, "value and advantage heads");
    f("n_step", c.n_step, "rewards summed before bootstrapping");
    f("prioritized_replay", c.prioritized_replay, "sample by temporal difference error");
    f("prioritized_alpha", c.prioritized_alpha, "exponent of the priorities");
    f("prioritized_beta", c.prioritized_beta, "exponent of the importance weights (schedule)");
    f("adam_eps", c.adam_eps, "Adam's epsilon");
  }
};

// Reads the JSON object `text` over the defaults. An unknown name, a value of the wrong type or out of range is
// kInvalidArgument and says which names or values are valid.
base::Result<OnPolicyConfig> parse_on_policy(std::string_view text);
base::Result<BcConfig> parse_bc(std::string_view text);
base::Result<DqnConfig> parse_dqn(std::string_view text);
std::string to_json(const OnPolicyConfig& config);
std::string to_json(const BcConfig& config);
std::string to_json(const DqnConfig& config);
// (name, help, default as JSON) of every field.
std::vector<std::array<std::string, 3>> describe_on_policy();
std::vector<std::array<std::string, 3>> describe_bc();
std::vector<std::array<std::string, 3>> describe_dqn();

}  // namespace daybreak::rl
