#include "daybreak/tune/experiment.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

#include "daybreak/base/failpoint.h"
#include "daybreak/base/temp_dir.h"
#include "daybreak/tune/keyed.h"
#include "daybreak/tune/schedulers/quantile.h"

namespace daybreak::tune {
namespace {

constexpr std::uint32_t kTrials = 8;
constexpr std::uint64_t kSteps = 9;

std::unique_ptr<Scheduler> scheduler_by_name(const std::string& name) {
  if (name == "asha") return *asha_scheduler({.max_t = 9, .grace_period = 1, .reduction_factor = 3});
  if (name == "promoting") {
    return *asha_scheduler({.max_t = 9, .grace_period = 1, .reduction_factor = 3, .promotes = true});
  }
  if (name == "hyperband") return *hyperband_scheduler({.max_t = 9, .reduction_factor = 3});
  if (name == "pbt") return *pbt_scheduler({.perturbation_interval = 2});
  return fifo_scheduler();
}

std::string one_result(std::uint64_t step, double score, bool done) {
  std::string packed;
  const auto flags =
      static_cast<std::uint8_t>(ResultRecord::kHasScore | (done ? ResultRecord::kDone : std::uint8_t{0}));
  Experiment::pack(packed, {.flags = flags,
                            .iteration = step,
                            .time = static_cast<double>(step),
                            .score = score,
                            .rank = static_cast<double>(step),
                            .checkpoint = fmt::format("checkpoint_{:06d}", step),
                            .text = fmt::format(R"({{"step": {}}})", step)});
  return packed;
}

// A driver: three trials at once, a result each in turn. To the end, or until a failpoint kills it.
void drive(Experiment& experiment) {
  std::vector<std::uint64_t> steps(kTrials, 0);
  while (experiment.size() < kTrials) {
    const auto number = experiment.size();
    ASSERT_TRUE(experiment.add(fmt::format("t{}", number), "{}"));
    ASSERT_TRUE(experiment.flush(false));
  }
  while (true) {
    while (experiment.count(TrialState::kRunning) < 3) {
      const std::optional<std::uint32_t> trial = experiment.choose();
      if (!trial) break;
      ASSERT_TRUE(experiment.start(*trial));
      steps[*trial] = experiment.trial(*trial).from.iteration;
    }
    if (experiment.count(TrialState::kRunning) == 0 && !*experiment.unblock()) return;
    for (std::uint32_t trial = 0; trial < kTrials; ++trial) {
      if (experiment.state(trial) != TrialState::kRunning) continue;
      ASSERT_EQ(experiment.trial(trial).iteration, steps[trial]) << "no iteration is left out, none comes twice";
      ++steps[trial];
      const auto answer = experiment.results(
          trial, one_result(steps[trial], trial * 0.1 * static_cast<double>(steps[trial]), steps[trial] >= kSteps));
      ASSERT_TRUE(answer) << answer.error().message();
      ASSERT_TRUE(experiment.surplus(trial, 1));
      for (const Move& move : experiment.take_moves()) ASSERT_TRUE(experiment.exploit(move.trial, move.source, "{}"));
      ASSERT_TRUE(experiment.flush(false));
    }
  }
}

bool all_ended(const Experiment& experiment) {
  return experiment.size() == kTrials && experiment.count(TrialState::kTerminated) == kTrials;
}

class ExperimentOf : public ::testing::TestWithParam<std::string> {};

TEST_P(ExperimentOf, goes_on_to_its_end_wherever_its_driver_died) {
  const base::TempDir folder = *base::TempDir::create();
  bool was_killed = true;
  for (std::uint64_t point = 1; was_killed; point += 1 + point / 16) {
    ASSERT_LT(point, 10'000U);
    const std::string path = folder / fmt::format("{}-{}", GetParam(), point);
    const ::pid_t child = ::fork();
    if (child == 0) {
      auto experiment = Experiment::create(path, "{}", scheduler_by_name(GetParam()));
      base::failpoint::arm("experiment.", point);
      drive(**experiment);
      ::_exit(all_ended(**experiment) ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    was_killed = WIFSIGNALED(status);
    if (!was_killed) {
      ASSERT_EQ(WEXITSTATUS(status), 0);
    }
    auto experiment = Experiment::open(path, scheduler_by_name(GetParam()));
    ASSERT_TRUE(experiment) << experiment.error().message();
    std::vector<std::string> finished;
    for (std::uint32_t trial = 0; trial < (*experiment)->size(); ++trial) {
      const ExperimentTrial& row = (*experiment)->trial(trial);
      finished.push_back(row.state == TrialState::kTerminated ? fmt::format("{} {}", row.starts, row.iteration) : "");
    }
    for (const Move& move : (*experiment)->take_moves()) {
      ASSERT_TRUE((*experiment)->exploit(move.trial, move.source, "{}"));
    }
    drive(**experiment);
    EXPECT_TRUE(all_ended(**experiment)) << "killed at point " << point;
    for (std::uint32_t trial = 0; trial < finished.size(); ++trial) {
      const ExperimentTrial& row = (*experiment)->trial(trial);
      if (!finished[trial].empty()) {
        EXPECT_EQ(finished[trial], fmt::format("{} {}", row.starts, row.iteration));
      }
      EXPECT_LE(row.checkpoints.size(), 1U) << "num_to_keep=1";
    }
    const std::string before = (*experiment)->status();
    ASSERT_TRUE((*experiment)->close());
    auto again = Experiment::open(path, scheduler_by_name(GetParam()));
    ASSERT_TRUE(again);
    EXPECT_EQ((*again)->status(), before) << "the scheduler knows after a replay what it knew";
  }
}

INSTANTIATE_TEST_SUITE_P(Schedulers, ExperimentOf, ::testing::Values("fifo", "asha", "promoting", "hyperband", "pbt"),
                         [](const auto& name) { return name.param; });

TEST(Experiment, passes_over_results_that_come_after_a_trials_end) {
  const base::TempDir folder = *base::TempDir::create();
  auto experiment = *Experiment::create(folder / "j", "{}", fifo_scheduler());
  ASSERT_TRUE(experiment->add("a", "{}"));
  ASSERT_TRUE(experiment->start(0));
  ASSERT_TRUE(experiment->results(0, one_result(1, 0, true)));
  const auto late = experiment->results(0, one_result(2, 0, false) + one_result(3, 0, false));
  ASSERT_TRUE(late);
  EXPECT_EQ(late->late, 2U);
  EXPECT_EQ(experiment->trial(0).iteration, 1U);
}

TEST(Experiment, does_not_let_go_of_a_checkpoint_that_another_trial_will_copy) {
  const base::TempDir folder = *base::TempDir::create();
  auto experiment = *Experiment::create(folder / "j", "{}", fifo_scheduler());
  for (const char* id : {"a", "b"}) {
    ASSERT_TRUE(experiment->add(id, "{}"));
  }
  ASSERT_TRUE(experiment->start(0));
  ASSERT_TRUE(experiment->results(0, one_result(1, 0, false)));
  ASSERT_TRUE(experiment->exploit(1, 0, "{}"));
  ASSERT_TRUE(experiment->results(0, one_result(2, 0, false) + one_result(3, 0, false)));
  EXPECT_EQ(*experiment->surplus(0, 1), std::vector<std::string>{"checkpoint_000002"});
  EXPECT_EQ(experiment->trial(1).from.name, "checkpoint_000001");
  ASSERT_TRUE(experiment->start(1));
  ASSERT_TRUE(experiment->results(1, one_result(2, 0, false)));
  EXPECT_EQ(*experiment->surplus(0, 1), std::vector<std::string>{"checkpoint_000001"}) << "it has its own now";
}

TEST(Experiment, is_refused_to_a_second_driver_and_to_a_second_beginning) {
  const base::TempDir folder = *base::TempDir::create();
  auto experiment = *Experiment::create(folder / "j", "{}", nullptr);
  EXPECT_EQ(Experiment::open(folder / "j", nullptr).error().code(), base::Code::kUnavailable);
  EXPECT_TRUE(Experiment::read(folder / "j")) << "but anybody may look";
  EXPECT_FALSE((*Experiment::read(folder / "j"))->add("a", "{}"));
  ASSERT_TRUE(experiment->close());
  EXPECT_EQ(Experiment::create(folder / "j", "{}", nullptr).error().code(), base::Code::kAlreadyExists);
  EXPECT_EQ(Experiment::open(folder / "k", nullptr).error().code(), base::Code::kNotFound);
}

std::vector<ExperimentRecord> one_of_each() {
  return {PlanRecord{.text = "{}"},
          TrialRecord{.trial = 1, .id = "ab_00001", .suggestion = "{}"},
          StartRecord{.trial = 1, .source = 0, .checkpoint = "checkpoint_000002"},
          ResultRecord{.trial = 1,
                       .flags = 1,
                       .iteration = 300,
                       .time = 1.5,
                       .score = -2,
                       .rank = 3,
                       .checkpoint = "c",
                       .text = "{}"},
          DecisionRecord{.trial = 1, .decision = Decision::kStop},
          ExploitRecord{.trial = 1, .source = 0, .checkpoint = "c", .suggestion = "{}"},
          EndRecord{.trial = 1, .state = TrialState::kError, .error = "no"},
          CheckpointRecord{.trial = 1, .iteration = 2, .time = 2, .rank = 1, .checkpoint = "c"},
          ForgetRecord{.trial = 1, .checkpoint = "c"},
          UnblockRecord{}};
}

TEST(ExperimentRecords, are_these_bytes) {
  std::string all;
  for (const ExperimentRecord& record : one_of_each()) {
    all += fmt::format("{}:", kind_of(record));
    for (const char byte : encoded(record)) all += fmt::format("{:02x}", static_cast<unsigned char>(byte));
    all += '\n';
  }
  EXPECT_EQ(all,
            "64:027b7d\n"
            "65:010861625f3030303031027b7d\n"
            "66:010011636865636b706f696e745f303030303032\n"
            "67:0101ac02000000000000f83f00000000000000c000000000000008400163027b7d\n"
            "68:0102\n"
            "69:01000163027b7d\n"
            "70:0104026e6f\n"
            "71:01020000000000000040000000000000f03f0163\n"
            "72:010163\n"
            "73:\n");
}

TEST(ExperimentRecords, are_read_as_they_were_written_and_refused_when_they_are_not) {
  for (const ExperimentRecord& record : one_of_each()) {
    const std::string bytes = encoded(record);
    EXPECT_EQ(*decoded(kind_of(record), bytes), record);
    EXPECT_FALSE(decoded(kind_of(record), bytes + "x"));
    if (!bytes.empty()) {
      EXPECT_FALSE(decoded(kind_of(record), bytes.substr(0, bytes.size() - 1)));
    }
  }
  EXPECT_EQ(decoded(127, "").error().code(), base::Code::kUnimplemented);
  EXPECT_FALSE(decoded(DecisionRecord::kKind, std::string("\x01\x03", 2)));
}

// One place, so that what is promoted when is known: the reference looks at all that came to a rung anew each time.
TEST(PromotingAsha, gives_a_free_place_to_the_best_third_of_the_highest_rung_that_has_one_waiting) {
  const base::TempDir folder = *base::TempDir::create();
  constexpr std::uint32_t kMany = 40;
  const double milestones[] = {1, 3, 9};
  auto experiment =
      *Experiment::create(folder / "j", "{}", *asha_scheduler({.max_t = 27, .reduction_factor = 3, .promotes = true}));
  for (std::uint32_t i = 0; i < kMany; ++i) ASSERT_TRUE(experiment->add(fmt::format("t{}", i), "{}"));
  std::vector<std::map<std::uint32_t, double>> came(3);
  std::vector<int> at(kMany, -1);
  const auto expected = [&]() -> std::optional<std::uint32_t> {
    for (int rung = 2; rung >= 0; --rung) {
      std::vector<std::pair<double, std::uint32_t>> order;
      for (const auto& [trial, score] : came[static_cast<std::size_t>(rung)]) order.emplace_back(-score, trial);
      std::ranges::sort(order);
      for (std::size_t i = 0; i < order.size() / 3; ++i) {
        const std::uint32_t trial = order[i].second;
        if (at[trial] == rung && experiment->state(trial) == TrialState::kPaused) return trial;
      }
    }
    return experiment->first(TrialState::kPending);
  };
  std::size_t whole = 0;
  while (true) {
    const std::optional<std::uint32_t> trial = experiment->choose();
    ASSERT_EQ(trial, expected());
    if (!trial) break;
    ASSERT_TRUE(experiment->start(*trial));
    for (auto step = experiment->trial(*trial).from.iteration + 1; experiment->state(*trial) == TrialState::kRunning;
         ++step) {
      const double score = std::sin(static_cast<double>(*trial * 7 + step));
      const auto rung = std::ranges::find(milestones, static_cast<double>(step)) - std::begin(milestones);
      if (rung < 3) {
        at[*trial] = static_cast<int>(rung);
        came[static_cast<std::size_t>(rung)][*trial] = score;
      }
      const auto answer = experiment->results(*trial, one_result(step, score, false));
      ASSERT_TRUE(answer);
      EXPECT_EQ(answer->decision == Decision::kStop, step == 27);
      whole += step == 27 ? 1 : 0;
    }
  }
  EXPECT_GE(whole, 1U);
  EXPECT_TRUE(*experiment->unblock());
  EXPECT_EQ(experiment->count(TrialState::kTerminated), kMany);
}

TEST(Experiment, what_is_handed_out_ahead_is_pending_for_everybody_and_chosen_by_nobody_else) {
  const base::TempDir folder = *base::TempDir::create();
  auto experiment = *Experiment::create(folder / "j", "{}", fifo_scheduler());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(experiment->add(fmt::format("t{}", i), "{}"));
  EXPECT_EQ(experiment->hand(), 0U);
  EXPECT_EQ(experiment->hand(), 1U);
  EXPECT_EQ(experiment->choose(), 2U);
  EXPECT_EQ(experiment->count(TrialState::kPending), 3U);
  EXPECT_EQ(experiment->state(0), TrialState::kPending);
  experiment->take_back(1);
  EXPECT_EQ(experiment->choose(), 1U);
  ASSERT_TRUE(experiment->start(0));
  experiment->take_back(0);  // it runs: nothing to take back
  EXPECT_EQ(experiment->state(0), TrialState::kRunning);
  EXPECT_EQ(experiment->count(TrialState::kPending), 2U);
  ASSERT_TRUE(experiment->end(0, TrialState::kPending, "once"));
  EXPECT_EQ(experiment->choose(), 0U);
  EXPECT_EQ(experiment->hand(), std::nullopt) << "who has begun goes on from somewhere";
  EXPECT_TRUE(*Experiment::is_driven(folder / "j"));
  ASSERT_TRUE(experiment->close());
  EXPECT_FALSE(*Experiment::is_driven(folder / "j"));
  auto breeding = *Experiment::create(folder / "k", "{}", *pbt_scheduler({.perturbation_interval = 2}));
  ASSERT_TRUE(breeding->add("t0", "{}"));
  EXPECT_EQ(breeding->hand(), std::nullopt) << "what begins next hangs on the others";
}

TEST(Quantile, is_numpys_percentile_of_what_was_added) {
  for (const double fraction : {0.75, 0.5, 2.0 / 3, 0.9}) {
    Quantile quantile(fraction);
    std::vector<double> sorted;
    Keyed random(3, 0, "q");
    EXPECT_FALSE(quantile.value());
    quantile.add(std::nan(""));
    for (int i = 0; i < 300; ++i) {
      const double value = std::floor(random.uniform() * 50);
      quantile.add(value);
      sorted.insert(std::ranges::upper_bound(sorted, value), value);
      const double place = static_cast<double>(sorted.size() - 1) * fraction;
      const auto below = static_cast<std::size_t>(place);
      const double above = sorted[std::min(below + 1, sorted.size() - 1)];
      EXPECT_NEAR(*quantile.value(), sorted[below] + (above - sorted[below]) * (place - static_cast<double>(below)),
                  1e-9);
    }
  }
}

}  // namespace
}  // namespace daybreak::tune
