// Counters, gauges and histograms with labels, read out as Prometheus text (format 0.0.4).
//
//   Registry registry;
//   auto& requests = registry.counter("daybreak_serve_requests_total", "Requests answered.", {"route", "status"});
//   requests.with({"/predict", "200"}).add(1);  // keep the reference where it is hot: with() takes a lock, add() none
//   const auto mine = apps.own({name});         // shown while somebody holds it, and nobody else's
//   std::string text = registry.expose();
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/base/mutex.h"

namespace daybreak::base {

// Label values of one metric that get a series by with(). Values often come from outside (a path, a name); what comes
// after these is counted together under the value "_other" in every label, so that nobody can fill the memory with
// labels. "_other" is nobody's: who reads a number as his own takes it from own().
inline constexpr std::size_t kMaxSeries = 1000;
// Series of one metric that are held and shown. Whoever makes them bounds what they belong to (apps, models); beyond it
// each still counts for its holder.
inline constexpr std::size_t kMaxOwnSeries = 16'384;
inline constexpr std::size_t kMaxLabels = 8;
inline constexpr std::size_t kMaxBuckets = 64;

// Only goes up. Any thread, wait-free.
class Counter {
 public:
  void add(std::uint64_t amount = 1) { value_.fetch_add(amount, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  alignas(64) std::atomic<std::uint64_t> value_ =
      0;  // a cache line of its own: two hot counters do not slow each other
};

// Goes up and down. Any thread, lock-free.
class Gauge {
 public:
  void set(double value) { value_.store(value, std::memory_order_relaxed); }
  void add(double amount) { value_.fetch_add(amount, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  alignas(64) std::atomic<double> value_ = 0;
};

// Counts of values at or under each bound. Any thread, lock-free; a reader may see a value that is counted and not yet
// summed.
class Histogram {
 public:
  // Bounds rise strictly; +infinity is added by itself.
  explicit Histogram(std::vector<double> bounds);
  void observe(double value);
  // How many values fell at or under bounds[i]; the last one is all of them.
  std::vector<std::uint64_t> cumulative() const;
  // Adds what another one with the same bounds has counted.
  void merge(const Histogram& other);
  double sum() const { return sum_.load(std::memory_order_relaxed); }
  const std::vector<double>& bounds() const { return bounds_; }

 private:
  std::vector<double> bounds_;
  std::unique_ptr<std::atomic<std::uint64_t>[]> counts_;  // one for each bound and one above
  std::atomic<double> sum_ = 0;
};

// All series of one metric. References that with() gives stay valid as long as the registry.
template <typename Metric>
class Family {
 public:
  Family(std::vector<std::string> labels, std::vector<double> bounds)
      : labels_(std::move(labels)), bounds_(std::move(bounds)) {}

  // The series of these label values, in the order of the labels; there must be as many.
  Metric& with(std::initializer_list<std::string_view> values = {}) DAYBREAK_EXCLUDES(mutex_);
  // A series of the caller's own: it begins at zero, is shown as long as somebody holds it, and takes the place of an
  // earlier one of the same label values. Beyond kMaxOwnSeries it is not shown, and counted in overflowed().
  std::shared_ptr<Metric> own(std::initializer_list<std::string_view> values) DAYBREAK_EXCLUDES(mutex_);
  // How many with() calls met the limit and got the "_other" series, and how many own() gave a series that is not
  // shown. Told as daybreak_metrics_overflowed_total{metric="..."} when there are any.
  std::uint64_t overflowed() const { return overflowed_.value(); }

 private:
  friend class Registry;
  Metric* make() const;
  void expose(const std::string& name, std::string& out) const DAYBREAK_EXCLUDES(mutex_);
  std::vector<std::string> key_of(std::initializer_list<std::string_view> values) const;

  const std::vector<std::string> labels_;
  const std::vector<double> bounds_;
  Counter overflowed_;
  mutable Mutex mutex_;
  std::map<std::vector<std::string>, std::unique_ptr<Metric>> series_ DAYBREAK_GUARDED_BY(mutex_);
  std::map<std::vector<std::string>, std::weak_ptr<Metric>> owned_ DAYBREAK_GUARDED_BY(mutex_);
};

// The metrics of a process or of a test. Asking again for a metric with the same description gives the same one; with
// another it is a bug in our code and ends the process, as does a name outside Prometheus' alphabet.
class Registry {
 public:
  // The process's own. Lives for ever.
  static Registry& standard();

  Family<Counter>& counter(const std::string& name, const std::string& help,
                           const std::vector<std::string>& labels = {});
  Family<Gauge>& gauge(const std::string& name, const std::string& help, const std::vector<std::string>& labels = {});
  // `bounds` rise strictly, at most kMaxBuckets.
  Family<Histogram>& histogram(const std::string& name, const std::string& help, const std::vector<double>& bounds,
                               const std::vector<std::string>& labels = {});

  // All metrics, sorted by name and label values. O(series).
  std::string expose() const;

 private:
  struct Entry {
    std::string type;
    std::string help;
    std::vector<std::string> labels;
    std::vector<double> bounds;
    std::unique_ptr<Family<Counter>> counter;
    std::unique_ptr<Family<Gauge>> gauge;
    std::unique_ptr<Family<Histogram>> histogram;
  };

  Entry& entry(const std::string& type, const std::string& name, const std::string& help,
               const std::vector<std::string>& labels, const std::vector<double>& bounds) DAYBREAK_REQUIRES(mutex_);

  mutable Mutex mutex_;
  std::map<std::string, Entry> entries_ DAYBREAK_GUARDED_BY(mutex_);
};

// Upper bounds from `first` on, each `factor` times the one before: exponential_bounds(1e-6, 2, 24) covers 1 us to 8 s.
std::vector<double> exponential_bounds(double first, double factor, std::size_t count);

}  // namespace daybreak::base
