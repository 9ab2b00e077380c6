// Studies in journals: several processes, deaths at every step, disks that fail, journals that are not what they were.
#include "daybreak/tune/storage.h"

#include <fcntl.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <thread>

#include "daybreak/store/tests/journal_fixture.h"
#include "daybreak/tune/tests/study_fixture.h"

namespace daybreak::tune {
namespace {

using base::Code;
using store::Durability;
using store::TemporaryDirectory;

const Distribution kSide = *Distribution::real(0, 1);

std::string state_text(Study& study) {
  return good(study.read([](const StudyState& state) {
    std::string text;
    for (std::uint32_t i = 0; i < state.trials.size(); ++i) {
      text += fmt::format("{}:{}", i, static_cast<int>(state.trials.state(i)));
      for (const Given& given : state.trials.given(i))
        text += fmt::format(" {}={}", state.trials.name(given.column), given.value);
      for (const double value : state.trials.values(i)) text += fmt::format(" -> {}", value);
      text += "\n";
    }
    return text;
  }));
}

TEST(StorageJournal, a_study_that_is_opened_again_knows_all_and_asks_on_as_it_would_have) {
  const TemporaryDirectory dir;
  const auto run = [](Study& study, int trials) {
    for (int i = 0; i < trials; ++i) {
      const Asked trial = good(study.ask());
      good(study.tell(trial, good(study.suggest(trial, "x", kSide))));
    }
  };
  const auto whole = study_in_file(dir / "whole", {.seed = 5});
  run(*whole, 20);
  run(*study_in_file(dir / "parts", {.seed = 5}), 12);
  const auto resumed = study_in_file(dir / "parts");  // the seed is the journal's
  EXPECT_EQ(resumed->seed(), 5U);
  run(*resumed, 8);
  EXPECT_EQ(state_text(*resumed), state_text(*whole));
}

TEST(StorageJournal, names_ids_and_attributes_are_those_of_all_and_never_come_again) {
  const TemporaryDirectory dir;
  const auto one = good(Storage::open(dir / "j")), other = good(Storage::open(dir / "j"));
  EXPECT_EQ(good(one->create_study("a", {Direction::kMinimize})), 0U);
  EXPECT_EQ(other->create_study("a", {Direction::kMinimize}).error().code(), Code::kAlreadyExists);
  EXPECT_EQ(good(other->create_study("b", {Direction::kMaximize, Direction::kMinimize})), 1U);
  EXPECT_EQ(good(one->submit(CreateTrialRecord{0, {}})), 0U);
  EXPECT_EQ(good(other->submit(CreateTrialRecord{1, {}})), 1U);
  good(one->submit(ChangeStudyRecord{0, {{"k", "1", true}, {"k", "2", false}, {"k", "3", true}}}));
  good(one->submit(DeleteStudyRecord{1}));
  EXPECT_EQ(other->submit(CreateTrialRecord{1, {}}).error().code(), Code::kNotFound);
  EXPECT_EQ(other->submit(ChangeTrialRecord{1, {}}).error().code(), Code::kNotFound);
  EXPECT_EQ(good(other->create_study("b", {Direction::kMinimize})), 2U);
  EXPECT_EQ(good(one->submit(CreateTrialRecord{2, {}})), 2U);
  good(other->read([](const StudiesState& all) {
    EXPECT_EQ(*all.study(0)->attribute("k", true), "3");
    EXPECT_EQ(*all.study(0)->attribute("k", false), "2");
    EXPECT_EQ(all.study(1), nullptr);
    return 0;
  }));
  for (std::size_t count : {std::size_t{0}, kMaxDirections + 1}) {
    const auto refused = one->create_study("c", std::vector<Direction>(count, Direction::kMinimize));
    EXPECT_EQ(refused.error().code(), Code::kInvalidArgument);
  }
  EXPECT_EQ(one->create_study(std::string(kMaxNameBytes + 1, 'n'), {Direction::kMinimize}).error().code(),
            Code::kInvalidArgument);
  const auto too_long = one->submit(ChangeStudyRecord{0, {{"k", std::string(kMaxAttributeBytes + 1, ' '), false}}});
  EXPECT_NE(too_long.error().message().find("1048577 bytes"), std::string::npos);
}

TEST(StorageJournal, a_change_is_made_whole_or_not_at_all) {
  for (const bool in_memory : {true, false}) {
    const TemporaryDirectory dir;
    const auto storage = in_memory ? Storage::in_memory() : good(Storage::open(dir / "j"));
    good(storage->create_study("a", {Direction::kMinimize}));
    const std::uint64_t trial = good(storage->submit(CreateTrialRecord{0, {}}));
    TrialChange change;
    change.parameters = {{"x", 0.5, kSide}, {"y", 3, *Distribution::whole(0, 5)}};
    change.reports = {{1, 2.5}};
    change.attributes = {{"a", "1", false}};
    change.note = "note";
    change.state = State::kComplete;  // and no value
    EXPECT_EQ(storage->submit(ChangeTrialRecord{trial, change}).error().code(), Code::kInvalidArgument);
    change.values = {1};
    change.parameters.push_back({"x", 0.6, kSide});
    EXPECT_EQ(storage->submit(ChangeTrialRecord{trial, change}).error().code(), Code::kInvalidArgument);
    good(storage->read([](const StudiesState& all) {
      EXPECT_TRUE(all.study(0)->trials.given(0).empty() && all.study(0)->trials.reports(0).empty());
      EXPECT_TRUE(all.study(0)->facts[0].attributes.empty() && all.study(0)->trials.note(0).empty());
      return 0;
    }));
    change.parameters.pop_back();
    good(storage->submit(ChangeTrialRecord{trial, change}));
    EXPECT_EQ(storage->submit(ChangeTrialRecord{trial, {}}).error().code(), Code::kFailedPrecondition);
    good(storage->read([](const StudiesState& all) {
      EXPECT_EQ(all.study(0)->trials.given(0).size(), 2U);
      EXPECT_EQ(all.study(0)->trials.note(0), "note");
      EXPECT_EQ(all.study(0)->trials.values(0)[0], 1);
      return 0;
    }));
  }
}

TEST(StorageJournal, of_two_that_claim_a_waiting_trial_one_has_it) {
  const TemporaryDirectory dir;
  const auto one = good(Storage::open(dir / "j")), other = good(Storage::open(dir / "j"));
  good(one->create_study("a", {Direction::kMinimize}));
  TrialChange waits, runs;
  waits.state = State::kWaiting;
  runs.state = State::kRunning;
  const std::uint64_t trial = good(one->submit(CreateTrialRecord{0, waits}));
  good(other->submit(ChangeTrialRecord{trial, runs}));
  EXPECT_EQ(one->submit(ChangeTrialRecord{trial, runs}).error().code(), Code::kAborted);
  waits.holder = one->holder();  // a stale wish to have it back in the queue
  EXPECT_EQ(one->submit(ChangeTrialRecord{trial, waits}).error().code(), Code::kAborted);
  waits.holder = other->holder();
  good(one->submit(ChangeTrialRecord{trial, waits}));
  good(one->submit(ChangeTrialRecord{trial, runs}));
}

TEST(StorageJournal, threads_of_one_pen_each_get_their_own_trial_and_what_they_told_is_there) {
  const TemporaryDirectory dir;
  const auto study = study_in_file(dir / "j", {.seed = 2});
  for (int i = 0; i < 20; ++i) good(study->enqueue("{}"));
  std::vector<std::set<std::uint32_t>> seen(4);
  std::vector<std::thread> threads;
  for (auto& mine : seen) {
    threads.emplace_back([&] {
      for (int i = 0; i < 25; ++i) {
        const Asked trial = good(study->ask());
        mine.insert(trial.number);
        good(study->tell(trial, good(study->suggest(trial, "x", kSide))));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<std::uint32_t> all;
  for (const auto& mine : seen) all.insert(mine.begin(), mine.end());
  EXPECT_EQ(all.size(), 100U);
  const auto again = study_in_file(dir / "j");
  good(again->read([&](const StudyState& state) {
    ASSERT_EQ(state.trials.size(), 100U);
    for (const std::uint32_t number : all) EXPECT_EQ(state.trials.values(number)[0], drawn(2, number, "x", kSide));
  }));
}

TEST(StorageProcesses, eight_ask_and_tell_at_once_and_no_number_comes_twice_and_nothing_is_lost) {
  const TemporaryDirectory dir;
  constexpr int kProcesses = 8, kEach = 40, kEnqueued = 100;
  {
    const auto study = study_in_file(dir / "j", {.seed = 1});
    for (int i = 0; i < kEnqueued; ++i) good(study->enqueue(R"({"x": 0.5})"));
  }
  std::vector<std::unique_ptr<ChildProcess>> children;
  for (int p = 0; p < kProcesses; ++p) {
    children.push_back(std::make_unique<ChildProcess>([&](const ChildProcess::Say& say) {
      const auto study = study_in_file(dir / "j");
      for (int i = 0; i < kEach; ++i) {
        const Asked trial = good(study->ask());
        const double x = good(study->suggest(trial, "x", kSide));
        good(study->tell(trial, x));
        say(fmt::format("{} {}", trial.number, x));
      }
    }));
  }
  std::map<std::uint32_t, double> told;
  for (const auto& child : children) {
    EXPECT_TRUE(ended_well(child->end())) << ::testing::PrintToString(child->lines);
    for (const std::string& line : child->lines) {
      const auto number = static_cast<std::uint32_t>(std::stoul(line));
      EXPECT_TRUE(told.emplace(number, std::stod(line.substr(line.find(' ')))).second) << number << " came twice";
    }
  }
  EXPECT_EQ(told.size(), std::size_t{kProcesses * kEach});
  const auto study = study_in_file(dir / "j");
  good(study->read([&](const StudyState& state) {
    EXPECT_EQ(state.trials.size(), told.size());
    EXPECT_TRUE(state.waiting.empty());
    for (const auto& [number, x] : told) {
      EXPECT_EQ(state.trials.state(number), State::kComplete);
      EXPECT_NEAR(state.trials.values(number)[0], x, 1e-5);
      EXPECT_EQ(state.trials.values(number)[0], number < kEnqueued ? 0.5 : drawn(1, number, "x", kSide));
    }
    return 0;
  }));
}

TEST(StorageProcesses, a_trial_of_a_killed_process_waits_again_and_one_of_a_living_one_does_not) {
  const TemporaryDirectory dir;
  study_in_file(dir / "j");
  const auto run_one = [&](const ChildProcess::Say& say) {
    const auto study = study_in_file(dir / "j");
    say(std::to_string(good(study->ask()).number));
    while (true) ::pause();
  };
  ChildProcess dies(run_one);
  EXPECT_EQ(dies.line(), "0");
  ChildProcess lives(run_one);
  EXPECT_EQ(lives.line(), "1");
  const auto study = study_in_file(dir / "j", {.dead_trials = State::kWaiting});
  EXPECT_TRUE(good(study->reap()).empty());
  dies.kill();
  dies.end();
  EXPECT_EQ(good(study->reap()), std::vector<std::uint32_t>{0});
  EXPECT_EQ(good(study->ask()).number, 0U);
  EXPECT_EQ(good(study->ask()).number, 2U);
  EXPECT_TRUE(good(study->reap()).empty());  // it runs here now
}

TEST(StorageProcesses, a_trial_of_a_killed_process_has_failed_when_that_is_asked_and_a_child_of_it_changes_nothing) {
  const TemporaryDirectory dir;
  ChildProcess dies([&](const ChildProcess::Say& say) {
    const auto study = study_in_file(dir / "j");
    good(study->ask());
    // The child speaks: until it has run for the first time it holds what it has inherited, and its parent's claim with it.
    if (::fork() == 0) say(std::to_string(::getpid()));
    while (true) ::pause();
  });
  const pid_t grandchild = std::stoi(dies.line());
  const auto study = study_in_file(dir / "j", {.dead_trials = State::kFailed});
  dies.kill_and_wait();
  EXPECT_EQ(good(study->reap()), std::vector<std::uint32_t>{0});
  EXPECT_EQ(good(study->read([](const StudyState& state) { return state.trials.state(0); })), State::kFailed);
  EXPECT_EQ(good(study->ask()).number, 1U);
  ::kill(grandchild, SIGKILL);
}

TEST(StorageProcesses, a_forked_child_is_told_to_open_the_journal_again) {
  const TemporaryDirectory dir;
  const auto study = study_in_file(dir / "j");
  ChildProcess child([&](const ChildProcess::Say& say) {
    say(study->ask().error().to_string());
    say(fmt::format("{}", good(study_in_file(dir / "j")->ask()).number));
    ::_exit(0);
  });
  EXPECT_NE(child.line().find("opened before fork"), std::string::npos);
  EXPECT_EQ(child.line(), "0");
  EXPECT_TRUE(ended_well(child.end()));
}

// Killed at each step of asking, suggesting, reporting and telling, in turn: what it said is there, the trial is asked for again by
// whoever comes, its parameters are the same, and no trial is there twice.
TEST(StorageProcesses,
     one_that_is_killed_at_any_step_loses_nothing_that_it_was_promised_and_its_trial_is_run_once_more) {
  int killed = 0;
  for (std::uint64_t step = 1;; ++step) {
    SCOPED_TRACE(fmt::format("step {}", step));
    const TemporaryDirectory dir;
    study_in_file(dir / "j", {.seed = 9});
    ChildProcess victim([&](const ChildProcess::Say& say) {
      base::failpoint::arm("", step);
      const auto study = study_in_file(dir / "j");
      for (int i = 0; i < 2; ++i) {
        const Asked trial = good(study->ask());
        const double x = good(study->suggest(trial, "x", kSide));
        good(study->report(trial, x, 1));
        good(study->tell(trial, x));
        say(fmt::format("{}", trial.number));
      }
    });
    const bool ended = ended_well(victim.end());
    const auto study = study_in_file(dir / "j");
    for (int i = 0; i < 3; ++i) {
      const Asked trial = good(study->ask());
      good(study->tell(trial, good(study->suggest(trial, "x", kSide))));
    }
    good(study->read([&](const StudyState& state) {
      for (const std::string& said : victim.lines) {
        EXPECT_EQ(state.trials.state(std::stoul(said)), State::kComplete);
      }
      // Told by the victim and not said, or asked again: none is left over, none is there twice.
      EXPECT_LE(state.trials.size(), 5U);
      EXPECT_GE(state.trials.size(), 3U + victim.lines.size());
      for (std::uint32_t number = 0; number < state.trials.size(); ++number) {
        EXPECT_EQ(state.trials.state(number), State::kComplete) << number;
        EXPECT_EQ(state.trials.values(number)[0], drawn(9, number, "x", kSide));
      }
      return 0;
    }));
    if (ended) break;
    ++killed;
    ASSERT_LT(step, 500U);
  }
  EXPECT_GE(killed, 30);
}

TEST(StorageBeats, a_holder_whose_beats_end_is_dead_after_six_intervals_of_our_own_clock) {
  class ClockEnv : public store::ForwardingEnv {
   public:
    std::int64_t monotonic_ns() override { return now; }
    std::int64_t now = 1;
  };
  const TemporaryDirectory dir;
  constexpr std::int64_t kHour = 3'600'000'000'000;  // its thread never beats by itself here
  const auto other = good(Storage::open(dir / "j", {.signs = StorageOptions::Signs::kBeat, .beat_interval_ns = kHour}));
  good(other->create_study("s", {Direction::kMinimize}));
  good(other->submit(CreateTrialRecord{0, {}}));
  ClockEnv clock;
  const auto storage = good(Storage::open(dir / "j", {.env = &clock}));
  EXPECT_TRUE(other->has_beats() && !storage->has_beats());
  EXPECT_TRUE(good(storage->stale(0)).empty());
  clock.now += 5 * kHour;
  EXPECT_TRUE(good(storage->stale(0)).empty());
  good(other->beat());
  clock.now += 5 * kHour;
  EXPECT_TRUE(good(storage->stale(0)).empty());  // it has moved: from now on
  clock.now += 6 * kHour;
  EXPECT_TRUE(good(storage->stale(0)).empty());
  clock.now += 1;
  EXPECT_EQ(good(storage->reap(0, State::kFailed)), std::vector<std::uint32_t>{0});
}

TEST(StorageBeats, they_come_by_themselves) {
  const TemporaryDirectory dir;
  const auto storage =
      good(Storage::open(dir / "j", {.signs = StorageOptions::Signs::kBeat, .beat_interval_ns = 1'000'000}));
  good(storage->create_study("s", {Direction::kMinimize}));
  std::uint64_t beats = 0;
  while (beats < 3) {
    beats = good(storage->read([&](const StudiesState& all) { return all.holder(storage->holder())->beats; }));
  }
}

TEST(StorageDisk, a_full_disk_is_an_error_by_name_and_what_was_told_before_stays) {
  const TemporaryDirectory dir;
  store::DiskEnv disk;
  const auto storage = good(Storage::open(dir / "j", {.env = &disk}));
  const auto study = good(Study::create(storage, {.name = "s"}));
  const Asked trial = good(study->ask());
  disk.free_bytes = 10;
  EXPECT_EQ(study->tell(trial, 1).error().code(), Code::kResourceExhausted);
  EXPECT_EQ(study->ask().error().code(), Code::kResourceExhausted);
  disk.free_bytes = SIZE_MAX;
  good(study->tell(trial, 2));
  EXPECT_EQ(good(study->ask()).number, 1U);
  EXPECT_EQ(state_text(*study_in_file(dir / "j")), "0:1 -> 2\n1:0\n");
}

TEST(StorageDisk, of_many_at_once_a_failure_is_one_of_all_and_the_storage_goes_no_further) {
  const TemporaryDirectory dir;
  store::DiskEnv disk;
  const auto storage = good(Storage::open(dir / "j", {.env = &disk}));
  const auto study = good(Study::create(storage, {.name = "s"}));
  good(study->ask());
  disk.free_bytes = 10;
  EXPECT_EQ(study->ask_many(3, {}).error().code(), Code::kResourceExhausted);
  disk.free_bytes = SIZE_MAX;
  EXPECT_EQ(study->ask().error().code(), Code::kResourceExhausted);
  EXPECT_EQ(good(study_in_file(dir / "j")->ask()).number, 1U);
}

TEST(StorageFile, that_is_torn_is_cut_one_that_is_altered_or_newer_or_another_is_refused_by_name) {
  const TemporaryDirectory dir;
  {
    const auto study = study_in_file(dir / "j", {.seed = 1});
    for (int i = 0; i < 3; ++i) good(study->tell(good(study->ask()), i));
  }
  const std::string bytes = store::file_bytes(dir / "j");
  std::filesystem::remove(dir / "j.lock");  // which knows how long it was
  store::write_file(dir / "j", bytes.substr(0, bytes.size() - 5));
  EXPECT_EQ(state_text(*study_in_file(dir / "j")), "0:1 -> 0\n1:1 -> 1\n2:0\n");
  std::string altered = bytes;
  altered[altered.size() / 2] = static_cast<char>(altered[altered.size() / 2] ^ 1);
  std::filesystem::remove(dir / "j.lock");
  store::write_file(dir / "j", altered);
  EXPECT_EQ(Storage::open(dir / "j").error().code(), Code::kDataLoss);
  {
    const auto journal = good(store::Journal::open(dir / "newer", {.application = "tune"}));
    good(journal->append("from tomorrow", 63));
  }
  const auto newer = Storage::open(dir / "newer");
  EXPECT_EQ(newer.error().code(), Code::kFailedPrecondition);
  EXPECT_NE(newer.error().to_string().find("kind 63"), std::string::npos);
  {
    const auto journal = good(store::Journal::open(dir / "experiment", {.application = "tune"}));
    good(journal->append("of an experiment", 64));
  }
  EXPECT_EQ(good(study_in_file(dir / "experiment")->ask()).number, 0U);
  good(store::Journal::open(dir / "runs", {.application = "runs"}));
  EXPECT_EQ(Storage::open(dir / "runs").error().code(), Code::kFailedPrecondition);
}

}  // namespace
}  // namespace daybreak::tune
