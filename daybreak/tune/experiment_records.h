// What an experiment's journal consists of: docs/formats/tune-experiment.md. Values; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "daybreak/base/error.h"
#include "daybreak/tune/scheduler.h"

namespace daybreak::tune {

inline constexpr std::string_view kJournalApplication = "tune";
inline constexpr std::uint32_t kFirstExperimentKind = 64;  // studies' records in the same file are below
inline constexpr std::uint32_t kLastExperimentKind = 127;
inline constexpr std::uint32_t kMaxExperimentTrials = 1u << 24;
inline constexpr std::size_t kMaxTextBytes = 16u << 20;  // of a result's or a plan's JSON
inline constexpr std::size_t kMaxNameBytes = 4096;

// What the experiment is: JSON, whose keys the faces know. A later one replaces it (more samples).
struct PlanRecord {
  static constexpr std::uint32_t kKind = 64;
  std::string text;
  bool operator==(const PlanRecord&) const = default;
};

struct TrialRecord {
  static constexpr std::uint32_t kKind = 65;
  std::uint32_t trial = 0;
  std::string id;
  std::string suggestion;  // JSON: the config, the tag
  bool operator==(const TrialRecord&) const = default;
};

// It runs (again), from a checkpoint of a trial or from the beginning ("").
struct StartRecord {
  static constexpr std::uint32_t kKind = 66;
  std::uint32_t trial = 0;
  std::uint32_t source = 0;
  std::string checkpoint;
  bool operator==(const StartRecord&) const = default;
};

struct ResultRecord {
  static constexpr std::uint32_t kKind = 67;
  static constexpr std::uint8_t kHasScore = 1;  // the metric and the time attribute were in it
  static constexpr std::uint8_t kDone = 2;      // a stop rule holds: it is the last
  std::uint32_t trial = 0;
  std::uint8_t flags = 0;
  std::uint64_t iteration = 0;
  double time = 0;
  double score = 0;        // higher is better
  double rank = 0;         // of its checkpoint: higher is kept longer
  std::string checkpoint;  // its folder's name, or ""
  std::string text;        // the whole result as JSON
  bool operator==(const ResultRecord&) const = default;
};

struct DecisionRecord {
  static constexpr std::uint32_t kKind = 68;
  std::uint32_t trial = 0;
  Decision decision = Decision::kContinue;
  bool operator==(const DecisionRecord&) const = default;
};

// It goes on, when it is started next, from another's checkpoint and with another config.
struct ExploitRecord {
  static constexpr std::uint32_t kKind = 69;
  std::uint32_t trial = 0;
  std::uint32_t source = 0;
  std::string checkpoint;
  std::string suggestion;
  bool operator==(const ExploitRecord&) const = default;
};

// An attempt is over: for good (kTerminated, kError), or it will be tried again (kPending).
struct EndRecord {
  static constexpr std::uint32_t kKind = 70;
  std::uint32_t trial = 0;
  TrialState state = TrialState::kTerminated;
  std::string error;  // what went wrong, or ""
  bool operator==(const EndRecord&) const = default;
};

// A checkpoint that was not reported with a result: saved at a pause or at the end.
struct CheckpointRecord {
  static constexpr std::uint32_t kKind = 71;
  std::uint32_t trial = 0;
  std::uint64_t iteration = 0;
  double time = 0;
  double rank = 0;
  std::string checkpoint;
  bool operator==(const CheckpointRecord&) const = default;
};

// A checkpoint is no longer kept; its folder may be there still.
struct ForgetRecord {
  static constexpr std::uint32_t kKind = 72;
  std::uint32_t trial = 0;
  std::string checkpoint;
  bool operator==(const ForgetRecord&) const = default;
};

// Nothing ran and nothing might: the scheduler was told so.
struct UnblockRecord {
  static constexpr std::uint32_t kKind = 73;
  bool operator==(const UnblockRecord&) const = default;
};

using ExperimentRecord = std::variant<PlanRecord, TrialRecord, StartRecord, ResultRecord, DecisionRecord, ExploitRecord,
                                      EndRecord, CheckpointRecord, ForgetRecord, UnblockRecord>;

std::uint32_t kind_of(const ExperimentRecord& record);
std::string encoded(const ExperimentRecord& record);
// kDataLoss says which field is wrong. kUnimplemented for a kind between 64 and 127 that this version does not know.
base::Result<ExperimentRecord> decoded(std::uint32_t kind, std::string_view body);
// The same for a result, into one that is used again.
base::Status decode_result(std::string_view body, ResultRecord& result);
// The body of a result of trial 0 as one of `trial`'s; `numbered` is used again.
void number_result(std::string_view body, std::uint32_t trial, std::string& numbered);

}  // namespace daybreak::tune
