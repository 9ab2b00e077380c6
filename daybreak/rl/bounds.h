// From the numbers of a Gaussian policy to a Box action within the environment's bounds, exactly.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "daybreak/rl/envs/vec_env.h"

namespace daybreak::rl {

// The bounds of a Box action as float32, rounded inwards, so that no action leaves them in the environment's own type
// either. A value. Empty for Discrete.
//
// Where all bounds are finite, [-1, 1] is mapped to them and what lies outside is clipped; else every component is only
// clipped to the bounds that it has.
struct ActionBounds {
  bool scaled = false;
  std::vector<float> low, high, half_range;

  ActionBounds() = default;
  explicit ActionBounds(const Space& space) {
    scaled = space.kind == Space::Kind::kBox;
    for (std::size_t i = 0; i < space.low.size(); ++i) {
      scaled = scaled && std::isfinite(space.low[i]) && std::isfinite(space.high[i]);
      float least = narrow(space.low[i]);
      float most = narrow(space.high[i]);
      // The unrounded ones make the range: where they are float32, which is nearly always, all three agree.
      half_range.push_back(0.5F * most - 0.5F * least);
      if (static_cast<double>(least) < space.low[i]) least = std::nextafter(least, most);
      if (static_cast<double>(most) > space.high[i]) most = std::nextafter(most, least);
      low.push_back(least);
      high.push_back(std::max(least, most));
    }
  }

  // A finite bound beyond the largest float32 is that one.
  static float narrow(double bound) {
    constexpr double kMost = std::numeric_limits<float>::max();
    return static_cast<float>(std::isfinite(bound) ? std::clamp(bound, -kMost, kMost) : bound);
  }

  // Component i of an action from the policy's number. NaN stays NaN.
  float apply(float action, std::size_t i) const {
    if (scaled) action = low[i] + (std::clamp(action, -1.0F, 1.0F) + 1.0F) * half_range[i];
    return std::clamp(action, low[i], high[i]);
  }
};

}  // namespace daybreak::rl
