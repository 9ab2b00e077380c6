// What is counted, per app and per model version; read out as Prometheus text and in Clipper's JSON.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "daybreak/base/metrics.h"

namespace daybreak::serve {

// Why a request got what it got.
enum class Reason : std::uint8_t { kAnswered = 0, kNoModel, kDeadline, kOverloaded, kModelError };
inline constexpr std::size_t kReasons = 5;

// For labels: "answered", "no_model", "deadline", "overloaded", "model_error".
std::string_view reason_name(Reason reason);
// For people, in `default_explanation`; the first two are Clipper's.
std::string_view reason_text(Reason reason);

struct AppMetrics {
  AppMetrics(base::Registry& registry, const std::string& app);
  std::array<base::Counter*, kReasons> outcomes;  // of inputs
  base::Histogram& latency_s;                     // of requests, from the parsed request to its answer
  base::Family<base::Counter>& gate;              // by (app, decision)
  std::string app;
  void count_gate(std::string_view decision) { gate.with({app, decision}).add(); }
};

struct VersionMetrics {
  VersionMetrics(base::Registry& registry, const std::string& model, const std::string& version);
  base::Counter& predictions;
  base::Counter& errors;
  base::Counter& retried;
  base::Histogram& latency_s;  // of inputs that the model answered, from admission to its result
  base::Histogram& queue_s;    // of these, until a batch took them
  base::Histogram& compute_s;  // of batches
  base::Histogram& batch_size;
};

// What is at or under `share` (0.5: the median) of a histogram's values, to the width of a bucket; 0 when it is empty.
double quantile(const base::Histogram& histogram, double share);

}  // namespace daybreak::serve
