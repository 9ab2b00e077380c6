#include "daybreak/tune/samplers/bohb.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "daybreak/tune/keyed.h"
#include "daybreak/tune/parzen.h"

namespace daybreak::tune {

base::Result<std::vector<double>> bohb_config(const BohbOptions& options, std::size_t number,
                                              const std::vector<Distribution>& distributions,
                                              std::span<const double> rows, std::span<const double> losses) {
  const std::size_t dims = distributions.size();
  if (dims == 0 || rows.size() != dims * losses.size()) {
    return base::fail(base::Code::kInvalidArgument, "{} values of {} configs of {} parameters", rows.size(),
                      losses.size(), dims);
  }
  if (losses.size() < options.least + 2) {
    return base::fail(base::Code::kFailedPrecondition, "{} configs: a model needs {}", losses.size(),
                      options.least + 2);
  }
  if (options.candidates < 1 || options.candidates > 1u << 20) {
    return base::fail(base::Code::kInvalidArgument, "num_samples={}: 1 to 2^20", options.candidates);
  }
  std::vector<std::uint32_t> order(losses.size());
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::stable_sort(order, {}, [losses](std::uint32_t k) {
    return std::isnan(losses[k]) ? std::numeric_limits<double>::infinity() : losses[k];
  });
  const auto share = static_cast<std::size_t>(options.top_share * static_cast<double>(losses.size()));
  const std::size_t good = std::min(std::max(options.least, share), losses.size());
  // Where there are few, the better of the bad ones are good ones, too.
  const std::size_t bad = std::min(std::max(options.least, losses.size() - good), losses.size());
  Parzen dense(distributions, Parzen::Weights::kEqual);
  Parzen rest(distributions, Parzen::Weights::kEqual);
  for (std::size_t k = 0; k < good; ++k) dense.insert(order[k], rows.subspan(order[k] * dims, dims));
  for (std::size_t k = losses.size() - bad; k < losses.size(); ++k) {
    rest.insert(order[k], rows.subspan(order[k] * dims, dims));
  }
  Keyed random(options.seed, number, "bohb");
  const std::vector<double> points = dense.drawn(random, options.candidates);
  std::vector<double> here(options.candidates);
  std::vector<double> elsewhere(options.candidates);
  dense.log_densities(points, here);
  rest.log_densities(points, elsewhere);
  std::size_t best = 0;
  for (std::size_t k = 1; k < options.candidates; ++k) {
    if (here[k] - elsewhere[k] > here[best] - elsewhere[best]) best = k;
  }
  const auto found = points.begin() + static_cast<std::ptrdiff_t>(best * dims);
  return std::vector<double>(found, found + static_cast<std::ptrdiff_t>(dims));
}

}  // namespace daybreak::tune
