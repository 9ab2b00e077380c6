// What the example's tasks and actors do: ordinary functions and classes, which know of no runtime but where they say so.
#pragma once

#include <daybreak/runtime/api.h>

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

// How many of `samples` random points of the unit square lie within the circle.
std::int64_t hits(std::int64_t samples, std::uint64_t seed);

// A large array crosses as a view of shared memory.
double mean(std::span<const double> values);

double root(double x);  // throws std::invalid_argument where there is none

// Fields have names, by which Python sees a dict.
struct Summary {
  std::int64_t count = 0;
  double largest = 0;
  std::vector<std::string> labels;
  static constexpr auto daybreak_fields() {
    return daybreak::fields("count", &Summary::count, "largest", &Summary::largest, "labels", &Summary::labels);
  }
};
Summary merge(const std::vector<Summary>& parts);

// An actor: its state lives in a process of its own.
class Counter {
 public:
  explicit Counter(std::int64_t first) : total_(first) {}
  std::int64_t add(std::int64_t amount) { return total_ += amount; }
  std::map<std::string, std::int64_t> counts() const { return {{"total", total_}}; }

  // By these names Python calls them; C++ needs none.
  static constexpr auto daybreak_methods() {
    return daybreak::methods("add", &Counter::add, "counts", &Counter::counts);
  }

 private:
  std::int64_t total_;
};
