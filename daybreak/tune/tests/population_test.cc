#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "daybreak/tune/hypervolume.h"
#include "daybreak/tune/samplers/cma.h"
#include "daybreak/tune/samplers/cmaes.h"
#include "daybreak/tune/samplers/nsga2.h"

namespace daybreak::tune {
namespace {

using PopulationSpace = std::vector<std::pair<std::string, Distribution>>;
using Losses = std::function<std::vector<double>(const std::vector<double>&)>;

// Asks for a trial and gives it its parameters.
std::vector<double> taken_by(Sampler& sampler, Trials& trials, std::uint32_t trial, const PopulationSpace& space) {
  const std::vector<Parameter> joint = sampler.joint(trials, trial);
  Sampler::Sample found;
  if (!joint.empty()) {
    found = *sampler.sample(trials, trial, joint);
    EXPECT_TRUE(trials.set_note(trial, found.note).has_value());
  }
  std::vector<double> values;
  for (const auto& [name, distribution] : space) {
    const std::uint32_t column = trials.add_column(name);
    const auto place = std::ranges::find(joint, column, &Parameter::column);
    values.push_back(place != joint.end()
                         ? found.values[static_cast<std::size_t>(place - joint.begin())]
                         : *sampler.sample_one(trials, trial, {.column = column, .distribution = distribution}));
    EXPECT_TRUE(trials.give(trial, column, values.back(), distribution).has_value()) << name;
  }
  return values;
}

double best_of(Sampler& sampler, Trials& trials, const PopulationSpace& space, const Losses& losses, int count) {
  double best = 1e300;
  for (int k = 0; k < count; ++k) {
    const std::uint32_t trial = trials.add(State::kRunning);
    const std::vector<double> told = losses(taken_by(sampler, trials, trial, space));
    EXPECT_TRUE(trials.move(trial, State::kComplete, told).has_value());
    best = std::min(best, told[0]);
  }
  return best;
}

PopulationSpace numbers(int dims, double low, double high) {
  PopulationSpace space;
  for (int k = 0; k < dims; ++k) space.emplace_back("x" + std::to_string(k), *Distribution::real(low, high));
  return space;
}

std::vector<double> rosenbrock(const std::vector<double>& x) {
  double sum = 0;
  for (std::size_t k = 0; k + 1 < x.size(); ++k) {
    sum += 100 * std::pow(x[k + 1] - x[k] * x[k], 2) + std::pow(1 - x[k], 2);
  }
  return {sum};
}

std::vector<double> rastrigin(const std::vector<double>& x) {
  double sum = 0;
  for (const double value : x) sum += 10 + std::pow(value - 1.3, 2) - 10 * std::cos(2 * M_PI * (value - 1.3));
  return {sum};
}

TEST(Eigen, gives_orthonormal_vectors_that_the_matrix_only_stretches) {
  for (const std::size_t n : {1U, 2U, 3U, 8U, 40U}) {
    Keyed random(n, 0, "matrix");
    std::vector<double> matrix(n * n);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j <= i; ++j)
        matrix[i * n + j] = matrix[j * n + i] = n == 8 && i != j ? 0 : random.normal();
    }
    std::vector<double> vectors = matrix;
    const std::vector<double> values = symmetric_eigen(n, vectors);
    for (std::size_t k = 0; k < n; ++k) {
      for (std::size_t i = 0; i < n; ++i) {
        double product = 0;
        double inner = 0;
        for (std::size_t j = 0; j < n; ++j) {
          product += matrix[i * n + j] * vectors[k * n + j];
          inner += vectors[i * n + j] * vectors[k * n + j];
        }
        EXPECT_NEAR(product, values[k] * vectors[k * n + i], 1e-12 * static_cast<double>(n));
        EXPECT_NEAR(inner, i == k ? 1 : 0, 1e-13 * static_cast<double>(n));
      }
    }
  }
}

TEST(Cmaes, goes_down_a_curved_valley_to_its_end) {
  Trials trials({Direction::kMinimize});
  EXPECT_LT(best_of(**cmaes_sampler({.seed = 1}), trials, numbers(5, -5, 10), rosenbrock, 4'000), 1e-8);
}

TEST(Cmaes, with_a_margin_finds_the_right_value_of_few) {
  PopulationSpace space = numbers(3, -5, 5);
  for (int k = 0; k < 3; ++k) space.emplace_back("n" + std::to_string(k), *Distribution::whole(0, 9));
  const auto losses = [](const std::vector<double>& x) {
    double sum = 0;
    for (std::size_t k = 0; k < 6; ++k) sum += std::pow(x[k] - (k < 3 ? 1.25 : 8), 2) * (k < 3 ? 100 : 1);
    return std::vector<double>{sum};
  };
  Trials trials({Direction::kMinimize});
  EXPECT_LT(best_of(**cmaes_sampler({.seed = 3, .with_margin = true}), trials, space, losses, 1'500), 1e-6);
}

TEST(Cmaes, that_restarts_leaves_local_minima) {
  const PopulationSpace space = numbers(4, -5.12, 5.12);
  for (const CmaRestarts restarts : {CmaRestarts::kIpop, CmaRestarts::kBipop}) {
    Trials trials({Direction::kMinimize});
    EXPECT_LT(best_of(**cmaes_sampler({.seed = 5, .restarts = restarts}), trials, space, rastrigin, 20'000), 1e-6);
  }
  Trials trials({Direction::kMinimize});
  EXPECT_GT(best_of(**cmaes_sampler({.seed = 5}), trials, space, rastrigin, 20'000), 0.5);
}

TEST(Cmaes, and_nsga2_go_on_after_a_replay_as_they_would_have) {
  PopulationSpace space = numbers(4, -5, 5);
  space.emplace_back("c", *Distribution::categorical(3));
  const auto samplers = [] {
    std::vector<std::unique_ptr<Sampler>> made;
    made.push_back(*cmaes_sampler({.seed = 8, .with_margin = true, .restarts = CmaRestarts::kIpop}));
    made.push_back(*nsga2_sampler({.seed = 8, .population = 10, .crossover = NsgaCrossover::kSbx}));
    return made;
  };
  std::vector<std::unique_ptr<Sampler>> lasting = samplers();
  for (std::size_t which = 0; which < lasting.size(); ++which) {
    Trials trials({Direction::kMaximize});
    const auto losses = [](const std::vector<double>& x) { return std::vector<double>{-std::pow(x[0] - 1, 2) - x[4]}; };
    best_of(*lasting[which], trials, space, losses, 333);
    const std::uint32_t next = trials.add(State::kRunning);
    const std::vector<Parameter> joint = lasting[which]->joint(trials, next);
    ASSERT_EQ(joint.size(), which == 0 ? 4U : 5U);
    const auto fresh = std::move(samplers()[which]);
    EXPECT_EQ(fresh->joint(trials, next).size(), joint.size());
    const Sampler::Sample expected = *lasting[which]->sample(trials, next, joint);
    const Sampler::Sample found = *fresh->sample(trials, next, joint);
    EXPECT_EQ(found.values, expected.values);
    EXPECT_EQ(found.note, expected.note);
  }
}

TEST(Cmaes, refuses_several_objectives_and_populations_that_say_too_little) {
  Trials trials({Direction::kMinimize, Direction::kMinimize});
  const auto sampler = *cmaes_sampler({});
  const auto refused = sampler->sample_one(trials, trials.add(State::kRunning), {.column = trials.add_column("x")});
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message().find("the study 2: take nsga2 or tpe"), std::string::npos);
  EXPECT_NE(cmaes_sampler({.population = 3}).error().message().find("popsize=3: 4 to"), std::string::npos);
}

TEST(Nsga2, covers_the_front_of_two_objectives) {
  const auto zdt1 = [](const std::vector<double>& x) {
    double g = 1;
    for (std::size_t k = 1; k < x.size(); ++k) g += 9 * x[k] / static_cast<double>(x.size() - 1);
    return std::vector<double>{x[0], g * (1 - std::sqrt(x[0] / g))};
  };
  for (const NsgaCrossover crossover : {NsgaCrossover::kUniform, NsgaCrossover::kSbx}) {
    Trials trials({Direction::kMinimize, Direction::kMinimize});
    best_of(**nsga2_sampler({.seed = 1, .crossover = crossover}), trials, numbers(8, 0, 1), zdt1, 4'000);
    std::vector<double> near;
    for (std::size_t trial = 0; trial < trials.size(); ++trial) {
      const std::span<const double> values = trials.values(trial);
      if (values[0] <= 1.1 && values[1] <= 1.1) near.insert(near.end(), values.begin(), values.end());
    }
    EXPECT_GT(*hypervolume(near, std::vector<double>{1.1, 1.1}), 0.8);  // 0.87667 is the front's own
  }
}

TEST(Nsga2, prefers_what_is_feasible) {
  Trials trials({Direction::kMinimize});
  const auto sampler = *nsga2_sampler({.seed = 2, .population = 20, .mutation_probability = 0.3});
  int feasible = 0;
  for (int k = 0; k < 400; ++k) {
    const std::uint32_t trial = trials.add(State::kRunning);
    const double x = taken_by(*sampler, trials, trial, numbers(1, 0, 1))[0];
    ASSERT_TRUE(trials.constrain(trial, std::max(0.0, 0.9 - x)).has_value());
    ASSERT_TRUE(trials.move(trial, State::kComplete, {&x, 1}).has_value());
    feasible += k >= 200 && x >= 0.9 ? 1 : 0;
  }
  EXPECT_GT(feasible, 60);  // of 200; by chance 20
  EXPECT_NE(nsga2_sampler({.population = 1}).error().message().find("population_size=1: 2 to"), std::string::npos);
  EXPECT_NE(nsga2_sampler({.crossover_probability = 1.5}).error().message().find("crossover_prob=1.5"),
            std::string::npos);
}

}  // namespace
}  // namespace daybreak::tune
