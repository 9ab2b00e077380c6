#include "daybreak/tune/journaled_pruner.h"

#include <string_view>
#include <utility>

namespace daybreak::tune {

using base::Code;
using base::fail;
using base::Result;
using base::Status;

namespace {

constexpr std::string_view kAttribute =
    "daybreak:pruner";  // a system attribute: what Pruner::kept gives, as hexadecimal text
constexpr std::string_view kDigits = "0123456789abcdef";

std::string written(std::string_view bytes) {
  std::string json = "\"";
  for (const char byte : bytes) {
    const auto value = static_cast<unsigned char>(byte);
    json += kDigits[value >> 4];
    json += kDigits[value & 15];
  }
  return json + "\"";
}

std::optional<std::string> read_back(std::string_view json) {
  if (json.size() < 2 || json.size() % 2 != 0 || json.front() != '"' || json.back() != '"') return std::nullopt;
  std::string bytes;
  for (std::size_t i = 1; i + 1 < json.size(); i += 2) {
    const std::size_t high = kDigits.find(json[i]), low = kDigits.find(json[i + 1]);
    if (high == std::string_view::npos || low == std::string_view::npos) return std::nullopt;
    bytes += static_cast<char>(high << 4 | low);
  }
  return bytes;
}

}  // namespace

Status JournaledPruner::recall(const StudyState& state) {
  const auto trials = static_cast<std::uint32_t>(state.facts.size());
  for (std::uint32_t trial = read_below_; trial < trials; ++trial) {
    const std::string* const json = state.facts[trial].attribute(kAttribute, true);
    if (json == nullptr) continue;
    std::string& known = known_[trial];
    if (known == *json) continue;
    const std::optional<std::string> bytes = read_back(*json);
    if (!bytes || !pruner_->recall(trial, *bytes)) {
      return fail(Code::kDataLoss,
                  "trial {} of '{}' has the memory of another pruner ({}): give the study the pruner that it had",
                  trial, state.name, json->substr(0, 80));
    }
    known = *json;
  }
  for (; read_below_ < state.all_finished_below; ++read_below_) known_.erase(read_below_);
  return {};
}

Result<JournaledPruner::Decision> JournaledPruner::prune(const StudyState& state, std::uint32_t trial) {
  DAYBREAK_TRY(recall(state));
  Decision decision;
  DAYBREAK_ASSIGN(decision.prune, pruner_->prune(state.trials, trial));
  const std::string kept = pruner_->kept(trial);
  if (kept.empty()) return decision;
  std::string json = written(kept);
  if (std::string& known = known_[trial]; known != json) {
    known = json;
    decision.kept = Attribute{std::string(kAttribute), std::move(json), true};
  }
  return decision;
}

}  // namespace daybreak::tune
