#include "daybreak/tune/pruners.h"

#include <gtest/gtest.h>

#include <vector>

namespace daybreak::tune {
namespace {

TEST(Wilcoxon, has_the_probabilities_of_scipy) {
  // scipy.stats.wilcoxon(d, alternative="greater", zero_method="zsplit").pvalue, scipy 1.17.1
  EXPECT_NEAR(wilcoxon_greater(std::vector<double>{1, 2, 3, -4, 5}), 0.21875, 1e-15);      // exact
  EXPECT_NEAR(wilcoxon_greater(std::vector<double>{1, 1, 0, -2, 5, 0, 3}), 0.125, 1e-15);  // ties and zeros
  std::vector<double> many;
  for (int k = 1; k <= 60; ++k) many.push_back(k % 3 == 0 ? -k : k * 0.9);
  EXPECT_NEAR(wilcoxon_greater(many), 0.035645671135402374, 1e-12);
  EXPECT_EQ(wilcoxon_greater({}), 1);
}

}  // namespace
}  // namespace daybreak::tune
