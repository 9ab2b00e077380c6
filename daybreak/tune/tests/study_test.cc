#include "daybreak/tune/study.h"

#include <cmath>
#include <limits>
#include <set>
#include <thread>

#include "daybreak/tune/tests/study_fixture.h"

namespace daybreak::tune {
namespace {

using base::Code;

const Distribution kUnit = *Distribution::real(0, 1);

std::unique_ptr<Study> study_in_memory(StudyOptions options = {}) {
  options.name = "s";
  return good(Study::create(Storage::in_memory(), std::move(options)));
}

Code code_of(const auto& result) {
  return result ? Code{} : result.error().code();
}

TEST(Study, asks_suggests_is_told_and_knows_the_best) {
  const auto study = study_in_memory({.seed = 7});
  EXPECT_EQ(code_of(study->best()), Code::kFailedPrecondition);
  double best = std::numeric_limits<double>::infinity();
  for (std::uint32_t i = 0; i < 50; ++i) {
    const Asked trial = good(study->ask());
    EXPECT_EQ(trial.number, i);
    const double x = good(study->suggest(trial, "x", kUnit));
    EXPECT_EQ(x, drawn(7, i, "x", kUnit));
    EXPECT_EQ(good(study->suggest(trial, "x", kUnit)), x);  // once more is the same
    best = std::min(best, x);
    good(study->tell(trial, x));
    EXPECT_EQ(code_of(study->tell(trial, x)), Code::kFailedPrecondition);
  }
  const std::uint32_t number = good(study->best());
  EXPECT_EQ(good(study->read([&](const StudyState& state) { return state.trials.values(number)[0]; })), best);
}

TEST(Study, of_equal_values_the_first_is_best_and_infeasible_failed_and_pruned_ones_never_are) {
  const auto study = study_in_memory({.directions = {Direction::kMaximize}});
  for (const double value : {1.0, 3.0, 3.0, 9.0}) {
    const Asked trial = good(study->ask());
    if (value == 9) good(study->set_violation(trial, 0.5));
    good(study->tell(trial, value));
  }
  const Asked pruned = good(study->ask());
  good(study->report(pruned, 100, 1));
  good(study->tell(pruned, State::kPruned));
  good(study->tell(good(study->ask()), State::kFailed));
  EXPECT_EQ(good(study->best()), 1U);
  EXPECT_EQ(good(study->best_trials()), (std::vector<std::uint32_t>{1, 2}));
  EXPECT_EQ(good(study->read([](const StudyState& state) { return state.trials.values(4)[0]; })), 100);
}

TEST(Study, knows_what_no_other_trial_dominates) {
  const auto study = study_in_memory({.directions = {Direction::kMinimize, Direction::kMaximize}});
  const std::vector<std::vector<double>> values = {{1, 1}, {2, 2}, {3, 1}, {1, 1}, {0, 0}, {2, 1}};
  for (const auto& one : values) good(study->tell(good(study->ask()), State::kComplete, one));
  EXPECT_EQ(good(study->best_trials()), (std::vector<std::uint32_t>{0, 1, 3, 4}));
  EXPECT_EQ(code_of(study->best()), Code::kFailedPrecondition);
  EXPECT_EQ(code_of(study->report(good(study->ask()), 1, 1)), Code::kInvalidArgument);
}

TEST(Study, what_is_enqueued_is_asked_for_first_and_has_its_values) {
  const auto study = study_in_memory();
  good(study->enqueue(R"({"x": 0.25, "layers": 3, "act": 1.0, "far": 7})"));
  const Asked trial = good(study->ask());
  EXPECT_EQ(trial.number, 0U);
  EXPECT_EQ(good(study->suggest(trial, "x", kUnit)), 0.25);
  EXPECT_EQ(good(study->suggest(trial, "layers", *Distribution::whole(1, 5))), 3);
  EXPECT_EQ(good(study->suggest(trial, {"act", *Distribution::categorical(3), "[1,true,1.0]"})), 2);
  EXPECT_EQ(good(study->suggest(trial, "far", kUnit)), 7);  // as asked, with a warning
  EXPECT_TRUE(kUnit.contains(good(study->suggest(trial, "other", kUnit))));
  EXPECT_EQ(good(study->ask()).number, 1U);
  EXPECT_EQ(code_of(study->enqueue("[1]")), Code::kInvalidArgument);
  good(study->enqueue(R"({"act": "none", "n": 1.5})"));
  const Asked wrong = good(study->ask());
  EXPECT_EQ(code_of(study->suggest(wrong, {"act", *Distribution::categorical(3), "[1,true,1.0]"})),
            Code::kInvalidArgument);
  EXPECT_EQ(code_of(study->suggest(wrong, "n", *Distribution::whole(1, 5))), Code::kInvalidArgument);
}

TEST(Study, a_name_may_change_its_range_and_not_its_kind_log_or_options) {
  const auto study = study_in_memory();
  const Asked first = good(study->ask());
  good(study->suggest(first, "x", kUnit));
  good(study->suggest(first, {"c", *Distribution::categorical(2), R"(["a","b"])"}));
  const Asked second = good(study->ask());
  EXPECT_TRUE(study->suggest(second, "x", *Distribution::real(5, 6)).has_value());
  const Asked third = good(study->ask());
  EXPECT_EQ(code_of(study->suggest(third, "x", *Distribution::whole(0, 1))), Code::kInvalidArgument);
  EXPECT_EQ(code_of(study->suggest(third, "x", *Distribution::real(1, 2, true))), Code::kInvalidArgument);
  const auto swapped = study->suggest(third, {"c", *Distribution::categorical(2), R"(["b","a"])"});
  EXPECT_EQ(code_of(swapped), Code::kInvalidArgument);
}

TEST(Study, prunes_as_its_pruner_says_by_the_reports) {
  const auto study = study_in_memory({.prune = [](const Trials& trials, std::size_t trial) -> base::Result<bool> {
    return !trials.reports(trial).empty() && trials.reports(trial).back().value > 5;
  }});
  const Asked trial = good(study->ask());
  EXPECT_FALSE(good(study->should_prune(trial)));
  good(study->report(trial, 3, 1));
  good(study->report(trial, 9, 1));  // a step's second report
  EXPECT_FALSE(good(study->should_prune(trial)));
  good(study->report(trial, 9, 2));
  EXPECT_TRUE(good(study->should_prune(trial)));
}

TEST(Study, many_threads_ask_and_tell_and_no_number_comes_twice) {
  const auto study = study_in_memory();
  std::vector<std::set<std::uint32_t>> seen(4);
  std::vector<std::thread> threads;
  for (int i = 0; i < 500; ++i) good(study->enqueue("{}"));
  for (auto& mine : seen) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        const Asked trial = good(study->ask());
        mine.insert(trial.number);
        good(study->tell(trial, good(study->suggest(trial, "x", kUnit))));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<std::uint32_t> all;
  for (const auto& mine : seen) all.insert(mine.begin(), mine.end());
  EXPECT_EQ(all.size(), 2000U);
  EXPECT_EQ(*all.rbegin(), 1999U);
}

TEST(Study, asked_for_many_at_once_gives_each_its_own_values) {
  const auto study = study_in_memory({.seed = 3});
  const std::vector<Space> space = {{"x", kUnit}, {"c", *Distribution::categorical(3), "[1,2,3]"}};
  std::vector<std::pair<Asked, double>> told;
  for (const auto& [trial, values] : good(study->ask_many(10, space))) {
    EXPECT_EQ(values[0], drawn(3, trial.number, "x", kUnit));
    told.emplace_back(trial, values[0]);
  }
  good(study->tell_many(told));
  EXPECT_EQ(code_of(study->tell_many(told)), Code::kFailedPrecondition);
  EXPECT_EQ(good(study->read([](const StudyState& state) { return state.trials.finished_in_order().size(); })), 10U);
}

TEST(Study, that_fails_to_sample_fails_the_trial_and_says_why) {
  class Broken : public Sampler {
    std::vector<Parameter> joint(const Trials&, std::size_t) override { return {{}}; }
    base::Result<Sample> sample(const Trials&, std::size_t, std::span<const Parameter>) override {
      return base::fail(Code::kInternal, "broken");
    }
    base::Result<double> sample_one(const Trials&, std::size_t, const Parameter&) override { return 0.0; }
  };
  const auto study = study_in_memory({.sampler = [](std::uint64_t) { return std::make_unique<Broken>(); }});
  EXPECT_EQ(study->ask().error().message(), "broken");
  EXPECT_EQ(good(study->read([](const StudyState& state) { return state.trials.state(0); })), State::kFailed);
}

}  // namespace
}  // namespace daybreak::tune
