#include "daybreak/tune/samplers/tpe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace daybreak::tune {
namespace {

using Space = std::map<std::string, Distribution>;
using Objective = std::function<std::vector<double>(const std::map<std::string, double>&)>;

// A study's way with a sampler, plainly.
std::map<std::string, double> ask_for(Sampler& sampler, Trials& trials, std::uint32_t trial, const Space& space) {
  std::map<std::string, double> chosen;
  const std::vector<Parameter> joint = sampler.joint(trials, trial);
  if (!joint.empty()) {
    Sampler::Sample found = *sampler.sample(trials, trial, joint);
    EXPECT_TRUE(trials.set_note(trial, found.note).has_value());
    for (std::size_t k = 0; k < joint.size(); ++k) chosen[trials.name(joint[k].column)] = found.values[k];
  }
  std::map<std::string, double> used;
  for (const auto& [name, distribution] : space) {
    const std::uint32_t column = trials.add_column(name);
    const auto found = chosen.find(name);
    const double value = found != chosen.end()
                             ? found->second
                             : *sampler.sample_one(trials, trial, {.column = column, .distribution = distribution});
    EXPECT_TRUE(trials.give(trial, column, value, distribution).has_value()) << name << " " << value;
    used[name] = value;
  }
  return used;
}

double best_after(Sampler& sampler, Trials& trials, const Space& space, const Objective& objective, int count) {
  double best = 1e300;
  for (int k = 0; k < count; ++k) {
    const std::uint32_t trial = trials.add(State::kRunning);
    const std::vector<double> values = objective(ask_for(sampler, trials, trial, space));
    EXPECT_TRUE(trials.move(trial, State::kComplete, values).has_value());
    best = std::min(best, values[0]);
  }
  return best;
}

const Space kMixed = {{"x", *Distribution::real(-5, 5)},
                      {"lr", *Distribution::real(1e-5, 1, true)},
                      {"n", *Distribution::whole(1, 8)},
                      {"q", *Distribution::real(0, 1, false, 0.125)},
                      {"c", *Distribution::categorical(4)}};

std::vector<double> mixed(const std::map<std::string, double>& at) {
  return {std::pow(at.at("x") - 2, 2) + std::pow(std::log10(at.at("lr")) + 3, 2) + std::abs(at.at("n") - 6) +
          std::abs(at.at("q") - 0.25) + (at.at("c") == 2 ? 0 : 2)};
}

TEST(Tpe, finds_much_better_values_than_chance_with_every_option) {
  for (const TpeOptions& options : {TpeOptions{}, TpeOptions{.multivariate = false}, TpeOptions{.group = true},
                                    TpeOptions{.constant_liar = false}}) {
    double ours = 0;
    double chance = 0;
    for (std::uint64_t seed = 0; seed < 8; ++seed) {
      TpeOptions seeded = options;
      seeded.seed = seed;
      Trials trials({Direction::kMinimize});
      ours += best_after(**tpe_sampler(seeded), trials, kMixed, mixed, 100);
      Trials others({Direction::kMinimize});
      chance += best_after(*random_sampler({.seed = seed}), others, kMixed, mixed, 100);
    }
    EXPECT_LT(ours, chance / 2) << ours << " of ours, " << chance << " by chance";
  }
}

TEST(Tpe, goes_on_after_a_replay_as_it_would_have) {
  Trials trials({Direction::kMaximize});
  const auto negative = [](const std::map<std::string, double>& at) { return std::vector<double>{-mixed(at)[0]}; };
  const auto lasting = *tpe_sampler({.seed = 4});
  best_after(*lasting, trials, kMixed, negative, 150);
  const std::uint32_t pruned = trials.add(State::kRunning);
  ask_for(*lasting, trials, pruned, kMixed);
  ASSERT_TRUE(trials.report(pruned, 3, 0.5).has_value());
  ASSERT_TRUE(trials.move(pruned, State::kPruned).has_value());
  const auto fresh = *tpe_sampler({.seed = 4});
  for (int k = 0; k < 3; ++k) {
    const std::uint32_t trial = trials.add(State::kRunning);
    const std::vector<Parameter> joint = lasting->joint(trials, trial);
    ASSERT_EQ(joint.size(), kMixed.size());
    EXPECT_EQ(lasting->sample(trials, trial, joint)->values, fresh->sample(trials, trial, joint)->values);
  }
}

TEST(Tpe, keeps_away_from_what_running_trials_are_about_to_use) {
  const Space space = {{"x", *Distribution::real(0, 1)}};
  const auto spread = [&space](bool liar) {
    double sum = 0;
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
      Trials trials({Direction::kMinimize});
      const auto sampler = *tpe_sampler({.seed = seed, .constant_liar = liar});
      best_after(
          *sampler, trials, space,
          [](const std::map<std::string, double>& at) { return std::vector<double>{std::abs(at.at("x") - 0.4)}; }, 20);
      std::vector<double> planned;
      for (int k = 0; k < 8; ++k) {
        const std::uint32_t trial = trials.add(State::kRunning);
        Sampler::Sample found = *sampler->sample(trials, trial, sampler->joint(trials, trial));
        planned.push_back(found.values[0]);
        EXPECT_TRUE(trials.set_note(trial, std::move(found.note)).has_value());  // nothing is given yet
      }
      std::ranges::sort(planned);
      for (std::size_t k = 1; k < planned.size(); ++k) sum += std::min(planned[k] - planned[k - 1], 0.05);
    }
    return sum;
  };
  EXPECT_GT(spread(true), 1.2 * spread(false));
}

TEST(Tpe, samples_conditional_parameters_in_the_groups_that_occur_together) {
  Trials trials({Direction::kMinimize});
  const auto sampler = *tpe_sampler({.seed = 1, .group = true});
  const Distribution real = *Distribution::real(0, 1);
  for (int k = 0; k < 30; ++k) {
    Space space = {{"c", *Distribution::categorical(2)}};
    space[k % 2 == 0 ? "a" : "b"] = real;
    if (k % 2 == 0) space["a2"] = real;
    const std::uint32_t trial = trials.add(State::kRunning);
    ask_for(*sampler, trials, trial, space);
    const double value = k;
    ASSERT_TRUE(trials.move(trial, State::kComplete, {&value, 1}).has_value());
  }
  std::vector<std::string> names;
  for (const Parameter& parameter : sampler->joint(trials, trials.add(State::kRunning))) {
    names.push_back(trials.name(parameter.column));
  }
  EXPECT_EQ(names, (std::vector<std::string>{"a", "a2", "b", "c"}));
  const auto without = *tpe_sampler({.seed = 1});
  const std::vector<Parameter> common = without->joint(trials, 30);
  ASSERT_EQ(common.size(), 1U);
  EXPECT_EQ(trials.name(common[0].column), "c");
}

TEST(Tpe, of_two_objectives_dominates_more_than_chance) {
  const Space space = {
      {"x", *Distribution::real(0, 1)}, {"y", *Distribution::real(0, 1)}, {"z", *Distribution::real(0, 1)}};
  const auto near_front = [&space](Sampler& sampler) {
    Trials trials({Direction::kMinimize, Direction::kMaximize});
    int near = 0;
    const auto objective = [&near](const std::map<std::string, double>& at) {
      const double g = 1 + 9 * (at.at("y") + at.at("z")) / 2;
      near += g < 2 ? 1 : 0;
      return std::vector<double>{at.at("x"), -g * (1 - std::sqrt(at.at("x") / g))};
    };
    best_after(sampler, trials, space, objective, 150);
    return near;
  };
  EXPECT_GT(near_front(**tpe_sampler({.seed = 2})), 3 * near_front(*random_sampler({.seed = 2})));
}

TEST(Tpe, learns_of_infeasible_trials_to_keep_away) {
  const Space space = {{"x", *Distribution::real(0, 1)}};
  Trials trials({Direction::kMinimize});
  const auto sampler = *tpe_sampler({.seed = 6});
  int feasible = 0;
  for (int k = 0; k < 120; ++k) {
    const std::uint32_t trial = trials.add(State::kRunning);
    const double x = ask_for(*sampler, trials, trial, space).at("x");
    ASSERT_TRUE(trials.constrain(trial, std::max(0.0, 0.7 - x)).has_value());
    ASSERT_TRUE(trials.move(trial, State::kComplete, {&x, 1}).has_value());
    feasible += k >= 60 && x >= 0.7 ? 1 : 0;
  }
  EXPECT_GT(feasible, 27);  // of 60; by chance 18
}

TEST(Tpe, options_that_cannot_be_are_refused_with_the_way_out) {
  EXPECT_NE(tpe_sampler({.candidates = 0}).error().message().find("n_ei_candidates=0: 1 to 65536"), std::string::npos);
  EXPECT_NE(tpe_sampler({.multivariate = false, .group = true}).error().message().find("leave multivariate out"),
            std::string::npos);
}

}  // namespace
}  // namespace daybreak::tune
