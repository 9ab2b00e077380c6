// The records of studies in a journal (docs/formats/tune-journal.md): what each says, as bytes and as structs. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/tune/distribution.h"
#include "daybreak/tune/trials.h"

namespace daybreak::tune {

inline constexpr std::size_t kMaxNameBytes = 1u << 10;       // of a study, a parameter, an attribute
inline constexpr std::size_t kMaxAttributeBytes = 1u << 20;  // of an attribute's JSON text
inline constexpr std::size_t kMaxOptionsBytes = 16u << 20;   // of the JSON text of a parameter's options
inline constexpr std::size_t kMaxNoteBytes = 16u << 20;      // of what a sampler keeps with a trial
inline constexpr std::size_t kMaxDirections = 256;           // objectives of a study
inline constexpr std::size_t kMaxChangeItems = 1u << 20;     // parameters, reports or attributes in one record

// Kinds of a journal's records; 64 and above are of experiments, and skipped.
enum class RecordKind : std::uint8_t {
  kHolder = 1,
  kBeat = 2,
  kCreateStudy = 3,
  kDeleteStudy = 4,
  kChangeStudy = 5,
  kCreateTrial = 6,
  kChangeTrial = 7,
};
inline constexpr std::uint32_t kMaxStudyRecordKind = 63;

// A value that JSON holds, as its text, by name.
struct Attribute {
  std::string name;
  std::string json;
  bool system = false;  // of programs; else of people
  bool operator==(const Attribute&) const = default;
};

struct Suggested {
  std::string name;
  double value = 0;
  Distribution distribution = {};
  std::string options = {};  // of a categorical one: the JSON text of all options, said once a study
  bool operator==(const Suggested&) const = default;
};

// Of a trial: all of it is done, in this order but the state last, or nothing.
struct TrialChange {
  std::vector<Suggested> parameters;
  std::vector<Report> reports;  // of equal steps the last counts
  std::vector<Attribute> attributes;
  std::optional<double> violation;
  std::optional<std::string> note;
  std::optional<State> state;
  std::vector<double> values;           // with the state
  std::optional<std::uint64_t> holder;  // only while the trial is running by this one
  std::int64_t started_ns = 0;          // since 1970 UTC; 0: no word about it
  std::int64_t finished_ns = 0;
};

// Who claims trials: an open storage. How others see that it lives: its byte of NAME.claims is locked, or its beats go on.
struct HolderRecord {
  enum class Sign : std::uint8_t { kLock = 0, kBeat = 1 };
  Sign sign = Sign::kLock;
  std::int64_t interval_ns = 0;  // between beats
  std::string host;
  std::uint32_t pid = 0;
};
struct BeatRecord {};
struct CreateStudyRecord {
  std::string name;
  std::vector<Direction> directions;
};
struct DeleteStudyRecord {
  std::uint32_t study = 0;
};
struct ChangeStudyRecord {
  std::uint32_t study = 0;
  std::vector<Attribute> attributes;
};
struct CreateTrialRecord {
  std::uint32_t study = 0;
  TrialChange change;  // its state; without one it runs
};
struct ChangeTrialRecord {
  std::uint64_t trial = 0;
  TrialChange change;
};

struct Record {
  std::uint64_t holder = 0;    // who wrote it
  std::uint64_t sequence = 0;  // its holder's count
  std::variant<HolderRecord, BeatRecord, CreateStudyRecord, DeleteStudyRecord, ChangeStudyRecord, CreateTrialRecord,
               ChangeTrialRecord>
      body;

  RecordKind kind() const { return static_cast<RecordKind>(body.index() + 1); }
};

// kInvalidArgument for what is longer than the limits above.
base::Result<std::string> encode_record(const Record& record);
// kDataLoss when the bytes are none, kFailedPrecondition for a kind that only a newer version knows.
base::Result<Record> decode_record(std::uint32_t kind, std::string_view bytes);

}  // namespace daybreak::tune
