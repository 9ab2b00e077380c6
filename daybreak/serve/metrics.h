// What is counted, per app and per model version; read out as Prometheus text and in Clipper's JSON.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "daybreak/base/metrics.h"
#include "daybreak/base/mutex.h"

namespace daybreak::serve {

// Why a request got what it got.
enum class Reason : std::uint8_t { kAnswered = 0, kNoModel, kDeadline, kOverloaded, kModelError };
inline constexpr std::size_t kReasons = 5;

// For labels: "answered", "no_model", "deadline", "overloaded", "model_error".
std::string_view reason_name(Reason reason);
// For people, in `default_explanation`; the first two are Clipper's.
std::string_view reason_text(Reason reason);

// An app's own numbers, from zero, which go when the last one that counts lets go of them: one that is made later and
// has the same name has its own. Any thread.
class AppMetrics {
 public:
  AppMetrics(base::Registry& registry, const std::string& app);
  void count_gate(std::string_view decision) DAYBREAK_EXCLUDES(mutex_);

  std::array<std::shared_ptr<base::Counter>, kReasons> outcomes;  // of inputs
  std::shared_ptr<base::Histogram> latency_s;                     // of requests, from the parsed request to its answer

 private:
  base::Family<base::Counter>& gate_;  // by (app, decision)
  const std::string app_;
  base::Mutex mutex_;
  std::map<std::string, std::shared_ptr<base::Counter>, std::less<>> decisions_ DAYBREAK_GUARDED_BY(mutex_);
};

// The same of a version of a model.
struct VersionMetrics {
  // `lineage`: JSON, of which "run" and "artifact" are shown.
  VersionMetrics(base::Registry& registry, const std::string& model, const std::string& version,
                 const std::string& lineage);
  std::shared_ptr<base::Counter> predictions;
  std::shared_ptr<base::Counter> errors;
  std::shared_ptr<base::Counter> retried;
  std::shared_ptr<base::Histogram> latency_s;  // of inputs that the model answered, from admission to its result
  std::shared_ptr<base::Histogram> queue_s;    // of these, until a batch took them
  std::shared_ptr<base::Histogram> compute_s;  // of batches
  std::shared_ptr<base::Histogram> batch_size;
  std::shared_ptr<base::Gauge> info;
};

// Bounds of all histograms of latencies: 10 us to 160 s, each 1.35 times the one before.
const std::vector<double>& latency_bounds();

// What is at or under `share` (0.5: the median) of a histogram's values, to the width of a bucket; 0 when it is empty.
double quantile(const base::Histogram& histogram, double share);

}  // namespace daybreak::serve
