#include "daybreak/serve/metrics.h"

namespace daybreak::serve {

namespace {

// 10 us to 160 s, each bound 1.35 times the one before.
const std::vector<double>& latency_bounds() {
  static const std::vector<double> bounds = base::exponential_bounds(1e-5, 1.35, 56);
  return bounds;
}

}  // namespace

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
                    .with({name})),
      gate(registry.counter("daybreak_serve_gate_decisions_total", "What the gate said.", {"app", "decision"})),
      app(name) {
  auto& family = registry.counter("daybreak_serve_inputs_total", "Inputs by what became of them.", {"app", "outcome"});
  for (std::size_t i = 0; i < kReasons; ++i) outcomes[i] = &family.with({name, reason_name(static_cast<Reason>(i))});
}

VersionMetrics::VersionMetrics(base::Registry& registry, const std::string& model, const std::string& version)
    : predictions(
          registry
              .counter("daybreak_serve_model_predictions_total", "Inputs that a model answered.", {"model", "version"})
              .with({model, version})),
      errors(registry
                 .counter("daybreak_serve_model_errors_total", "Inputs for which a model failed.", {"model", "version"})
                 .with({model, version})),
      retried(registry
                  .counter("daybreak_serve_model_retries_total", "Inputs computed again, their replica having died.",
                           {"model", "version"})
                  .with({model, version})),
      latency_s(registry
                    .histogram("daybreak_serve_model_seconds", "From an input's admission to its result.",
                               latency_bounds(), {"model", "version"})
                    .with({model, version})),
      queue_s(registry
                  .histogram("daybreak_serve_queue_seconds", "From an input's admission until its batch was computed.",
                             latency_bounds(), {"model", "version"})
                  .with({model, version})),
      compute_s(registry
                    .histogram("daybreak_serve_batch_seconds", "Computing of a batch.", latency_bounds(),
                               {"model", "version"})
                    .with({model, version})),
      batch_size(registry
                     .histogram("daybreak_serve_batch_size", "Inputs in a batch.", base::exponential_bounds(1, 2, 11),
                                {"model", "version"})
                     .with({model, version})) {}

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
