#include "daybreak/serve/metrics.h"

#include "daybreak/base/json.h"

namespace daybreak::serve {

namespace {

// A text of the lineage, for a label; empty when there is none.
std::string lineage_text(const std::string& lineage, const char* key) {
  constexpr std::size_t kMaxLabelBytes = 128;
  const auto parsed = base::parse_json(lineage);
  if (!parsed || !parsed->is_object()) return "";
  return base::json_member<std::string>(*parsed, key).value_or("").substr(0, kMaxLabelBytes);
}

}  // namespace

const std::vector<double>& latency_bounds() {
  static const std::vector<double> bounds = base::exponential_bounds(1e-5, 1.35, 56);
  return bounds;
}

std::string_view reason_name(Reason reason) {
  constexpr std::string_view kNames[kReasons] = {"answered", "no_model", "deadline", "overloaded", "model_error"};
  return kNames[static_cast<std::size_t>(reason)];
}

std::string_view reason_text(Reason reason) {
  constexpr std::string_view kTexts[kReasons] = {
      "", "No connected models found for query",
      "Failed to retrieve a prediction response within the specified latency SLO", "overloaded", "model_error"};
  return kTexts[static_cast<std::size_t>(reason)];
}

AppMetrics::AppMetrics(base::Registry& registry, const std::string& name)
    : latency_s(registry
                    .histogram("daybreak_serve_request_seconds", "From a parsed request to its answer.",
                               latency_bounds(), {"app"})
                    .own({name})),
      gate_(registry.counter("daybreak_serve_gate_decisions_total", "What the gate said.", {"app", "decision"})),
      app_(name) {
  auto& family = registry.counter("daybreak_serve_inputs_total", "Inputs by what became of them.", {"app", "outcome"});
  for (std::size_t i = 0; i < kReasons; ++i) outcomes[i] = family.own({name, reason_name(static_cast<Reason>(i))});
}

void AppMetrics::count_gate(std::string_view decision) {
  const base::MutexLock lock(mutex_);
  auto found = decisions_.find(decision);
  if (found == decisions_.end()) found = decisions_.emplace(decision, gate_.own({app_, decision})).first;
  found->second->add();
}

VersionMetrics::VersionMetrics(base::Registry& registry, const std::string& model, const std::string& version,
                               const std::string& lineage) {
  const auto counter = [&](const char* name, const char* help) {
    return registry.counter(name, help, {"model", "version"}).own({model, version});
  };
  const auto histogram = [&](const char* name, const char* help, const std::vector<double>& bounds) {
    return registry.histogram(name, help, bounds, {"model", "version"}).own({model, version});
  };
  predictions = counter("daybreak_serve_model_predictions_total", "Inputs that a model answered.");
  errors = counter("daybreak_serve_model_errors_total", "Inputs for which a model failed.");
  retried = counter("daybreak_serve_model_retries_total", "Inputs computed again, their replica having died.");
  latency_s = histogram("daybreak_serve_model_seconds", "From an input's admission to its result.", latency_bounds());
  queue_s = histogram("daybreak_serve_queue_seconds", "From an input's admission until its batch was computed.",
                      latency_bounds());
  compute_s = histogram("daybreak_serve_batch_seconds", "Computing of a batch.", latency_bounds());
  batch_size = histogram("daybreak_serve_batch_size", "Inputs in a batch.", base::exponential_bounds(1, 2, 11));
  info = registry
             .gauge("daybreak_serve_version_info", "1 for each version that is registered: where it came from.",
                    {"model", "version", "run", "artifact"})
             .own({model, version, lineage_text(lineage, "run"), lineage_text(lineage, "artifact")});
  info->set(1);
}

double quantile(const base::Histogram& histogram, double share) {
  const std::vector<std::uint64_t> cumulative = histogram.cumulative();
  const std::uint64_t all = cumulative.back();
  if (all == 0) return 0;
  for (std::size_t i = 0; i < histogram.bounds().size(); ++i) {
    if (static_cast<double>(cumulative[i]) >= share * static_cast<double>(all)) return histogram.bounds()[i];
  }
  return histogram.bounds().back();
}

}  // namespace daybreak::serve
