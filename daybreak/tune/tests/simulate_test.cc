#include "daybreak/tune/simulate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "daybreak/tune/samplers/niching.h"
#include "daybreak/tune/samplers/nsga2.h"
#include "daybreak/tune/samplers/tpe.h"
#include "daybreak/tune/schedulers/pb2.h"
#include "daybreak/tune/tests/study_fixture.h"

namespace daybreak::tune {
namespace {

using base::Code;

TEST(Simulated, asha_comes_to_the_best_curve_in_a_fraction_of_the_time_and_twice_in_the_same_way) {
  const auto run = [](bool stops) {
    const auto curves = *curve_workload({.trials = 81, .epochs = 81, .seed = 4});
    const auto scheduler = stops ? *asha_scheduler({.max_t = 81, .reduction_factor = 3, .seed = 1}) : fifo_scheduler();
    return *simulated(*scheduler, *curves, {.trials = 81, .workers = 9});
  };
  const Simulation full = run(false);
  const Simulation stopped = run(true);
  EXPECT_LT(stopped.end_s, full.end_s / 3);
  const auto best = [](const Simulation& found) {
    return std::ranges::max_element(found.trials, {}, &SimulatedTrial::score)->score;
  };
  EXPECT_GT(best(stopped), best(full) - 0.06);
  const Simulation again = run(true);
  ASSERT_EQ(again.events.size(), stopped.events.size());
  for (std::size_t k = 0; k < again.events.size(); ++k) {
    EXPECT_EQ(again.events[k].time, stopped.events[k].time);
    EXPECT_EQ(again.events[k].trial, stopped.events[k].trial);
  }
}

TEST(Simulated, a_studys_sampler_learns_of_trials_that_were_stopped_and_of_those_that_run) {
  const auto study = good(Study::create(
      Storage::in_memory(),
      {.name = "s", .seed = 3, .sampler = [](std::uint64_t seed) { return std::move(*tpe_sampler({.seed = seed})); }}));
  const auto train = [](std::span<const double> config, std::uint32_t epoch) -> base::Result<Workload::Epoch> {
    return Workload::Epoch{.score = -std::pow(config[0] - 0.7, 2) - 1.0 / epoch, .seconds = 1 + config[0]};
  };
  const auto workload = *study_workload(*study, {{.name = "x", .distribution = *Distribution::real(0, 1)}}, 9, train);
  const auto scheduler = *asha_scheduler({.max_t = 9, .reduction_factor = 3});
  const Simulation found = *simulated(*scheduler, *workload, {.trials = 80, .workers = 8, .one_by_one = true});
  EXPECT_EQ(found.trials.size(), 80U);
  const auto counts = good(study->read([](const StudyState& state) {
    std::vector<int> by_state(5);
    for (std::size_t k = 0; k < state.trials.size(); ++k) ++by_state[static_cast<std::size_t>(state.trials.state(k))];
    return by_state;
  }));
  EXPECT_EQ(counts[static_cast<std::size_t>(State::kRunning)], 0);
  EXPECT_GT(counts[static_cast<std::size_t>(State::kPruned)], 40);
  double last = 0;
  for (std::uint32_t k = 60; k < 80; ++k) {
    const double x = good(study->read([k](const StudyState& state) { return state.trials.given(k)[0].value; }));
    last += std::abs(x - 0.7) / 20;
  }
  EXPECT_LT(last, 0.15);
}

TEST(Simulated, refuses_tables_and_options_that_cannot_be) {
  EXPECT_EQ(table_workload({1, 2, 3}, {1, 2, 3}, 2).error().code(), Code::kInvalidArgument);
  EXPECT_NE(table_workload({1, 2}, {1, 0.5}, 2).error().to_string().find("row 0 has 0.5 seconds at epoch 2 after 1"),
            std::string::npos);
  const auto curves = *curve_workload({.trials = 2, .epochs = 2});
  const auto fifo = fifo_scheduler();
  EXPECT_FALSE(simulated(*fifo, *curves, {.trials = 2, .workers = 0}));
  EXPECT_FALSE(simulated(*fifo, *curves, {.trials = 2, .stop_delay_s = -1}));
  const auto stopped = simulated(*fifo, *curves, {.trials = 2, .max_events = 3});
  EXPECT_EQ(stopped.error().code(), Code::kResourceExhausted);
}

TEST(Pb2, the_gradient_of_its_likelihood_is_that_of_differences) {
  Keyed random(1, 0, "points");
  std::vector<double> points;
  std::vector<double> values;
  for (int k = 0; k < 30; ++k) {
    for (int d = 0; d < 4; ++d) points.push_back(random.uniform());
    values.push_back(std::sin(5 * points[points.size() - 2]) + 0.1 * random.normal());
  }
  internal::TimeVaryingGp gp(4, points, values);
  const std::vector<double> at = {0.3, -0.7, -2};
  std::vector<double> gradient(3);
  std::vector<double> unused(3);
  gp.loss(at, gradient);
  for (std::size_t k = 0; k < 3; ++k) {
    std::vector<double> above = at;
    std::vector<double> below = at;
    above[k] += 1e-5;
    below[k] -= 1e-5;
    EXPECT_NEAR(gradient[k], (gp.loss(above, unused) - gp.loss(below, unused)) / 2e-5, 1e-4);
  }
  gp.fit();
  double squared = 0;
  for (std::size_t k = 0; k < values.size(); ++k) {
    squared += std::pow(gp.mean(std::span(points).subspan(4 * k, 4)) - values[k], 2);
  }
  EXPECT_LT(squared / 30, 0.02);
  EXPECT_GT(gp.variance(std::vector<double>{0.5, 9, 9, 9}), 0.9 * gp.numbers().variance);
}

TEST(Pb2, goes_to_where_the_gain_is_largest_and_keeps_away_from_what_others_try) {
  const std::vector<PbtBound> bounds = {{.name = "lr", .low = 10, .high = 20}};
  std::vector<Pb2Row> rows;
  Keyed random(2, 0, "rows");
  for (int k = 0; k < 60; ++k) {
    const double lr = random.uniform(10, 20);
    rows.push_back({.time = 1.0 + k / 10, .before = 0, .gain = 1 - std::pow((lr - 17) / 5, 2), .values = {lr}});
  }
  const double found = pb2_values(bounds, rows, rows.back(), {}, 7, 0, 0)[0];
  EXPECT_NEAR(found, 17, 1);
  EXPECT_EQ(pb2_values(bounds, rows, rows.back(), {}, 7, 0, 0)[0], found);
}

TEST(Nsga3, reference_points_are_all_of_the_simplex_and_too_many_are_refused) {
  const std::vector<double> points = *simplex_points(3, 3);
  ASSERT_EQ(points.size(), 30U);
  std::set<std::vector<double>> different;
  for (std::size_t k = 0; k < 10; ++k) {
    EXPECT_NEAR(points[3 * k] + points[3 * k + 1] + points[3 * k + 2], 1, 1e-12);
    different.insert({points[3 * k], points[3 * k + 1], points[3 * k + 2]});
  }
  EXPECT_EQ(different.size(), 10U);
  EXPECT_EQ(simplex_points(1, 4)->size(), 1U);
  EXPECT_FALSE(simplex_points(200, 6));
}

TEST(Nsga3, of_a_front_those_go_on_that_are_spread_over_all_lines) {
  std::vector<double> losses;  // a quarter of a circle, crowded at one end, in units that differ a thousandfold
  for (int k = 0; k < 40; ++k) {
    const double angle = k < 30 ? k * 0.003 : 0.09 + (k - 29) * (M_PI / 2 - 0.09) / 10;
    losses.push_back(std::cos(angle));
    losses.push_back(1000 * std::sin(angle));
  }
  Keyed random(3, 0, "niches");
  const std::vector<std::uint32_t> chosen = niched(losses, 2, 0, 7, *simplex_points(2, 6), random);
  ASSERT_EQ(std::set(chosen.begin(), chosen.end()).size(), 7U);
  EXPECT_LE(std::ranges::count_if(chosen, [](std::uint32_t k) { return k < 30; }), 2);
  EXPECT_TRUE(std::ranges::count(chosen, 39U));
  const std::vector<double> scaled = scaled_by_intercepts(losses, 2);
  EXPECT_NEAR(*std::ranges::max_element(scaled), 1, 0.01);
}

TEST(Nsga3, heeds_directions_and_takes_infinite_values_for_the_worst) {
  const auto run = [](std::vector<Direction> directions, double sign) {
    Trials trials(std::move(directions));
    const auto sampler = *nsga3_sampler(
        {.nsga = {.seed = 2, .population = 20, .mutation_probability = 0.1, .crossover = NsgaCrossover::kSbx}});
    const std::uint32_t column = trials.add_column("x");
    int front = 0;  // of the last: what is between 0 and 2 no other value beats in both
    for (std::uint32_t k = 0; k < 400; ++k) {
      trials.add(State::kRunning);
      const std::vector<Parameter> joint = sampler->joint(trials, k);
      double x = 0;
      if (joint.empty()) {
        x = *sampler->sample_one(trials, k, {.column = column, .distribution = *Distribution::real(-9, 9)});
      } else {
        const Sampler::Sample found = good(sampler->sample(trials, k, joint));
        x = found.values[0];
        good(trials.set_note(k, found.note));
      }
      good(trials.give(k, column, x, *Distribution::real(-9, 9)));
      const double other = k % 37 == 0 ? INFINITY : (x - 2) * (x - 2);
      good(trials.move(k, State::kComplete, std::vector<double>{sign * x * x, other}));
      if (k >= 300) front += x > -0.1 && x < 2.1 ? 1 : 0;
    }
    return front;
  };
  const int minimized = run({Direction::kMinimize, Direction::kMinimize}, 1);
  EXPECT_GT(minimized, 70);
  EXPECT_EQ(run({Direction::kMaximize, Direction::kMinimize}, -1), minimized);
}

}  // namespace
}  // namespace daybreak::tune
