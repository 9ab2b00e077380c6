#include "daybreak/base/metrics.h"

#include <algorithm>
#include <cctype>
#include <cmath>

namespace daybreak::base {
namespace {

constexpr std::string_view kOther = "_other";

bool is_name(std::string_view text, bool colons) {
  const auto letter = [colons](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (colons && c == ':');
  };
  return !text.empty() && letter(text[0]) &&
         std::ranges::all_of(text, [&letter](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

std::string escaped(std::string_view text, bool quotes) {
  std::string out;
  for (const char c : text) {
    if (c == '\\')
      out += "\\\\";
    else if (c == '\n')
      out += "\\n";
    else if (c == '"' && quotes)
      out += "\\\"";
    else
      out += c;
  }
  return out;
}

std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);
}

// {a="x",b="y"}, with one more pair when `extra` is not empty; nothing when there are no labels.
std::string label_text(const std::vector<std::string>& labels, const std::vector<std::string>& values,
                       std::string_view extra = {}) {
  std::string out;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    out += fmt::format("{}{}=\"{}\"", out.empty() ? "" : ",", labels[i], escaped(values[i], /*quotes=*/true));
  }
  if (!extra.empty()) out += fmt::format("{}{}", out.empty() ? "" : ",", extra);
  return out.empty() ? out : "{" + out + "}";
}

void expose_one(const std::string& name, const std::vector<std::string>& labels, const std::vector<std::string>& values,
                const Counter& counter, std::string& out) {
  out += fmt::format("{}{} {}\n", name, label_text(labels, values), counter.value());
}

void expose_one(const std::string& name, const std::vector<std::string>& labels, const std::vector<std::string>& values,
                const Gauge& gauge, std::string& out) {
  out += fmt::format("{}{} {}\n", name, label_text(labels, values), number(gauge.value()));
}

void expose_one(const std::string& name, const std::vector<std::string>& labels, const std::vector<std::string>& values,
                const Histogram& histogram, std::string& out) {
  const auto counts = histogram.cumulative();
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const double bound = i < histogram.bounds().size() ? histogram.bounds()[i] : INFINITY;
    out += fmt::format("{}_bucket{} {}\n", name, label_text(labels, values, fmt::format("le=\"{}\"", number(bound))),
                       counts[i]);
  }
  out += fmt::format("{}_sum{} {}\n", name, label_text(labels, values), number(histogram.sum()));
  out += fmt::format("{}_count{} {}\n", name, label_text(labels, values), counts.back());
}

}  // namespace

Histogram::Histogram(std::vector<double> bounds)
    : bounds_(std::move(bounds)), counts_(new std::atomic<std::uint64_t>[bounds_.size() + 1]()) {}

void Histogram::observe(double value) {
  // NaN is above every bound: counted, and visible in the sum.
  const auto it = std::ranges::lower_bound(bounds_, value);
  const auto bucket = std::isnan(value) ? bounds_.size() : static_cast<std::size_t>(it - bounds_.begin());
  counts_[bucket].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

std::vector<std::uint64_t> Histogram::cumulative() const {
  std::vector<std::uint64_t> counts(bounds_.size() + 1);
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    total += counts_[i].load(std::memory_order_relaxed);
    counts[i] = total;
  }
  return counts;
}

void Histogram::merge(const Histogram& other) {
  DAYBREAK_CHECK(other.bounds_ == bounds_);
  for (std::size_t i = 0; i <= bounds_.size(); ++i)
    counts_[i].fetch_add(other.counts_[i].load(std::memory_order_relaxed), std::memory_order_relaxed);
  sum_.fetch_add(other.sum(), std::memory_order_relaxed);
}

template <>
Counter* Family<Counter>::make() const {
  return new Counter;
}
template <>
Gauge* Family<Gauge>::make() const {
  return new Gauge;
}
template <>
Histogram* Family<Histogram>::make() const {
  return new Histogram(bounds_);
}

template <typename Metric>
std::vector<std::string> Family<Metric>::key_of(std::initializer_list<std::string_view> values) const {
  DAYBREAK_CHECK(values.size() == labels_.size());
  return {values.begin(), values.end()};
}

template <typename Metric>
Metric& Family<Metric>::with(std::initializer_list<std::string_view> values) {
  std::vector<std::string> key = key_of(values);
  const MutexLock lock(mutex_);
  auto it = series_.find(key);
  if (it == series_.end()) {
    if (series_.size() >= kMaxSeries) {
      overflowed_.add();
      key.assign(labels_.size(), std::string(kOther));
    }
    it = series_.try_emplace(std::move(key), nullptr).first;
    if (!it->second) it->second.reset(make());
  }
  return *it->second;
}

template <typename Metric>
std::shared_ptr<Metric> Family<Metric>::own(std::initializer_list<std::string_view> values) {
  std::vector<std::string> key = key_of(values);
  std::shared_ptr<Metric> made(make());
  const MutexLock lock(mutex_);
  // Places of those that nobody holds any more are looked for when room is needed: a series has nothing to do with its
  // family when it ends, which may be gone by then.
  if (owned_.size() >= kMaxOwnSeries) std::erase_if(owned_, [](const auto& entry) { return entry.second.expired(); });
  if (owned_.size() < kMaxOwnSeries || owned_.contains(key)) {
    owned_.insert_or_assign(std::move(key), made);
  } else {
    overflowed_.add();
  }
  return made;
}

template <typename Metric>
void Family<Metric>::expose(const std::string& name, std::string& out) const {
  const MutexLock lock(mutex_);
  for (const auto& [values, metric] : series_) expose_one(name, labels_, values, *metric, out);
  for (const auto& [values, held] : owned_) {
    if (const auto metric = held.lock()) expose_one(name, labels_, values, *metric, out);
  }
}

template class Family<Counter>;
template class Family<Gauge>;
template class Family<Histogram>;

Registry& Registry::standard() {
  static Registry* const registry = new Registry;  // never destroyed: see Env::real()
  return *registry;
}

Registry::Entry& Registry::entry(const std::string& type, const std::string& name, const std::string& help,
                                 const std::vector<std::string>& labels, const std::vector<double>& bounds) {
  DAYBREAK_CHECK(is_name(name, /*colons=*/true));
  DAYBREAK_CHECK(labels.size() <= kMaxLabels && bounds.size() <= kMaxBuckets);
  for (const std::string& label : labels) DAYBREAK_CHECK(is_name(label, /*colons=*/false) && label != "le");
  for (std::size_t i = 1; i < bounds.size(); ++i) DAYBREAK_CHECK(bounds[i - 1] < bounds[i]);
  const auto [it, is_new] = entries_.try_emplace(name);
  Entry& entry = it->second;
  if (is_new) {
    entry.type = type;
    entry.help = help;
    entry.labels = labels;
    entry.bounds = bounds;
  }
  DAYBREAK_CHECK(entry.type == type && entry.labels == labels && entry.bounds == bounds);
  return entry;
}

Family<Counter>& Registry::counter(const std::string& name, const std::string& help,
                                   const std::vector<std::string>& labels) {
  const MutexLock lock(mutex_);
  Entry& found = entry("counter", name, help, labels, {});
  if (!found.counter) found.counter = std::make_unique<Family<Counter>>(labels, std::vector<double>{});
  return *found.counter;
}

Family<Gauge>& Registry::gauge(const std::string& name, const std::string& help,
                               const std::vector<std::string>& labels) {
  const MutexLock lock(mutex_);
  Entry& found = entry("gauge", name, help, labels, {});
  if (!found.gauge) found.gauge = std::make_unique<Family<Gauge>>(labels, std::vector<double>{});
  return *found.gauge;
}

Family<Histogram>& Registry::histogram(const std::string& name, const std::string& help,
                                       const std::vector<double>& bounds, const std::vector<std::string>& labels) {
  const MutexLock lock(mutex_);
  Entry& found = entry("histogram", name, help, labels, bounds);
  if (!found.histogram) found.histogram = std::make_unique<Family<Histogram>>(labels, bounds);
  return *found.histogram;
}

std::string Registry::expose() const {
  const MutexLock lock(mutex_);
  std::string out;
  for (const auto& [name, entry] : entries_) {
    out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, escaped(entry.help, /*quotes=*/false), name, entry.type);
    if (entry.counter) entry.counter->expose(name, out);
    if (entry.gauge) entry.gauge->expose(name, out);
    if (entry.histogram) entry.histogram->expose(name, out);
  }
  std::string overflowed;
  for (const auto& [name, entry] : entries_) {
    const std::uint64_t count = entry.counter ? entry.counter->overflowed()
                                : entry.gauge ? entry.gauge->overflowed()
                                              : entry.histogram->overflowed();
    if (count > 0) overflowed += fmt::format("daybreak_metrics_overflowed_total{{metric=\"{}\"}} {}\n", name, count);
  }
  if (!overflowed.empty()) {
    out +=
        "# HELP daybreak_metrics_overflowed_total Series that a metric had no room for, so they are not shown by "
        "name.\n"
        "# TYPE daybreak_metrics_overflowed_total counter\n" +
        overflowed;
  }
  return out;
}

std::vector<double> exponential_bounds(double first, double factor, std::size_t count) {
  DAYBREAK_CHECK(first > 0 && factor > 1 && count <= kMaxBuckets);
  std::vector<double> bounds(count);
  double bound = first;
  for (double& b : bounds) {
    b = bound;
    bound *= factor;
  }
  return bounds;
}

}  // namespace daybreak::base
