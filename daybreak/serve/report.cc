#include "daybreak/serve/report.h"

#include <fmt/format.h>

#include <cmath>

namespace daybreak::serve {

namespace {

using base::Json;

Json latency_json(const base::Histogram& histogram) {
  Json buckets = Json::array();
  const auto cumulative = histogram.cumulative();
  std::uint64_t before = 0;
  for (std::size_t i = 0; i < cumulative.size(); ++i) {
    const std::uint64_t count = cumulative[i] - before;
    before = cumulative[i];
    if (count == 0) continue;
    const bool last = i == histogram.bounds().size();
    buckets.push_back({last ? Json() : Json(std::round(histogram.bounds()[i] * 1e6)), count});
  }
  return {{"buckets", std::move(buckets)},
          {"count", cumulative.back()},
          {"p50", std::round(quantile(histogram, 0.50) * 1e6)},
          {"p95", std::round(quantile(histogram, 0.95) * 1e6)},
          {"p99", std::round(quantile(histogram, 0.99) * 1e6)}};
}

Json lineage_json(const std::string& text) {
  auto parsed = base::parse_json(text);
  return parsed ? std::move(*parsed) : Json();
}

Json app_json(const App& app) {
  std::uint64_t defaults = 0;
  for (std::size_t i = 1; i < kReasons; ++i) defaults += app.metrics->outcomes[i]->value();
  Json reasons = Json::object();
  for (std::size_t i = 1; i < kReasons; ++i)
    reasons[std::string(reason_name(static_cast<Reason>(i)))] = app.metrics->outcomes[i]->value();
  const auto misses = app.metrics->outcomes[static_cast<std::size_t>(Reason::kDeadline)]->value();
  return {{"name", app.config->name},
          {"input_type", input_type_name(app.config->input_type)},
          {"slo_us", app.config->slo_ns / 1000},
          {"gated", app.gate != nullptr},
          {"model", app.model ? Json(app.model->name()) : Json()},
          {"metrics",
           {{"predictions", app.metrics->outcomes[0]->value()},
            {"defaults", defaults},
            {"deadline_misses", misses},
            {"reasons", std::move(reasons)},
            {"latency_us", latency_json(*app.metrics->latency_s)}}}};
}

Json version_json(const VersionInfo& version) {
  return {{"version", version.name},
          {"current", version.current},
          {"ready", version.ready > 0},
          {"replicas", version.ready},
          {"lineage", lineage_json(version.lineage)}};
}

// ---- Clipper's shape: lists of one-key objects whose values are strings

Json named(const std::string& name, Json values) {
  return Json::object({{name, std::move(values)}});
}

Json counter(const std::string& name, std::uint64_t value) {
  return named(name, {{"count", fmt::to_string(value)}});
}

Json meter(const std::string& name, std::uint64_t count, double uptime_s) {
  return named(name, {{"unit", "events per second"},
                      {"rate", fmt::format("{:.3f}", static_cast<double>(count) / std::max(uptime_s, 1e-3))}});
}

Json ratio(const std::string& name, std::uint64_t part, std::uint64_t all) {
  return named(
      name, {{"ratio", fmt::format("{:.6f}", all == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(all))}});
}

Json histogram(const std::string& name, const base::Histogram& values, const char* unit, double scale) {
  const auto cumulative = values.cumulative();
  const double count = static_cast<double>(cumulative.back());
  double squares = 0, least = 0, most = 0;
  std::uint64_t before = 0;
  for (std::size_t i = 0; i < values.bounds().size(); ++i) {
    const auto in = static_cast<double>(cumulative[i] - before);
    before = cumulative[i];
    if (in == 0) continue;
    const double bound = values.bounds()[i] * scale;
    if (most == 0) least = i == 0 ? 0 : values.bounds()[i - 1] * scale;
    most = bound;
    squares += in * bound * bound;
  }
  const double mean = count > 0 ? values.sum() * scale / count : 0;
  const double deviation = count > 0 ? std::sqrt(std::max(squares / count - mean * mean, 0.0)) : 0;
  const auto text = [](double value) { return fmt::format("{:.3f}", value); };
  return named(name, {{"unit", unit},
                      {"size", fmt::to_string(cumulative.back())},
                      {"min", text(least)},
                      {"max", text(most)},
                      {"mean", text(mean)},
                      {"std_dev", text(deviation)},
                      {"p50", text(quantile(values, 0.50) * scale)},
                      {"p95", text(quantile(values, 0.95) * scale)},
                      {"p99", text(quantile(values, 0.99) * scale)}});
}

}  // namespace

base::Json describe_app(const App& app) {
  Json json = app_json(app);
  json["current"] = app.model ? Json(app.model->current()) : Json();
  json["versions"] = Json::array();
  if (app.model) {
    for (const VersionInfo& version : app.model->versions()) json["versions"].push_back(version_json(version));
  }
  return json;
}

base::Json describe_all(const Apps& apps) {
  Json all = {{"apps", Json::array()}, {"models", Json::array()}};
  for (const auto& app : apps.all()) all["apps"].push_back(app_json(*app));
  for (const auto& model : apps.models()) {
    Json versions = Json::array();
    for (const VersionInfo& version : model->versions()) {
      Json json = version_json(version);
      json["started_replicas"] = version.replicas;
      json["queued"] = version.queued;
      json["batch_size"] = version.batch_size;
      json["largest_batch"] = version.largest_batch;
      json["predictions"] = version.metrics->predictions->value();
      json["errors"] = version.metrics->errors->value();
      json["retried"] = version.metrics->retried->value();
      json["latency_us"] = latency_json(*version.metrics->latency_s);
      versions.push_back(std::move(json));
    }
    Json replicas = Json::array();
    for (const ReplicaInfo& replica : model->replicas())
      replicas.push_back({{"id", replica.id},
                          {"version", replica.version},
                          {"kind", replica.native ? "native" : "process"},
                          {"state", replica_state_name(replica.state)},
                          {"pid", replica.pid},
                          {"batches", replica.batches},
                          {"last_error", replica.last_error}});
    all["models"].push_back({{"name", model->name()},
                             {"current", model->current()},
                             {"outstanding", model->outstanding()},
                             {"versions", std::move(versions)},
                             {"replicas", std::move(replicas)}});
  }
  return all;
}

std::string clipper_metrics(const Apps& apps, double uptime_s) {
  Json counters = Json::array(), ratios = Json::array(), meters = Json::array(), histograms = Json::array();
  std::uint64_t everything = 0;
  base::Histogram waited(latency_bounds());
  for (const auto& app : apps.all()) {
    const std::string prefix = fmt::format("app:{}:", app->config->name);
    std::uint64_t all = 0, defaults = 0;
    for (std::size_t i = 0; i < kReasons; ++i) {
      all += app->metrics->outcomes[i]->value();
      if (i > 0) defaults += app->metrics->outcomes[i]->value();
    }
    counters.push_back(counter(prefix + "num_predictions", all));
    ratios.push_back(ratio(prefix + "default_prediction_ratio", defaults, all));
    meters.push_back(meter(prefix + "prediction_throughput", all, uptime_s));
    histograms.push_back(histogram(prefix + "prediction_latency", *app->metrics->latency_s, "microseconds", 1e6));
  }
  for (const auto& model : apps.models()) {
    for (const VersionInfo& version : model->versions()) {
      const std::string prefix = fmt::format("model:{}:{}:", model->name(), version.name);
      const VersionMetrics& metrics = *version.metrics;
      waited.merge(*metrics.queue_s);
      everything += metrics.predictions->value();
      counters.push_back(counter(prefix + "num_predictions", metrics.predictions->value()));
      ratios.push_back(ratio(prefix + "cache_hit_ratio", 0, 1));
      meters.push_back(meter(prefix + "prediction_throughput", metrics.predictions->value(), uptime_s));
      histograms.push_back(histogram(prefix + "prediction_latency", *metrics.latency_s, "microseconds", 1e6));
      histograms.push_back(histogram(prefix + "batch_size", *metrics.batch_size, "queries", 1));
    }
  }
  counters.push_back(counter("internal:aggregate_num_predictions", everything));
  counters.push_back(counter("internal:prediction_cache_lookups", 0));
  ratios.push_back(ratio("internal:prediction_cache_hit_ratio", 0, 1));
  // Clipper's: from a task's way into the queue until a container's batch takes it.
  histograms.push_back(histogram("internal:rpc_request_queueing_delay", waited, "microseconds", 1e6));
  meters.push_back(meter("internal:aggregate_model_throughput", everything, uptime_s));
  return base::dump_json({{"counters", std::move(counters)},
                          {"ratio_counters", std::move(ratios)},
                          {"meters", std::move(meters)},
                          {"histograms", std::move(histograms)}});
}

}  // namespace daybreak::serve
