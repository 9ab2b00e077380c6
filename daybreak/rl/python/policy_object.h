// The Python face of a policy.
#pragma once

#include <nanobind/nanobind.h>

#include <memory>

#include "daybreak/rl/policy.h"

namespace daybreak::rl {

// A policy and the generator of its sampled actions. Used with the GIL held, which guards the generator.
class PolicyObject {
 public:
  explicit PolicyObject(std::shared_ptr<const Policy> policy);

  nanobind::object compute_action(nanobind::handle observation, bool deterministic);
  nanobind::object compute_actions(nanobind::handle observations, bool deterministic);
  nanobind::object logits(nanobind::handle observation);
  void seed(std::uint64_t value) { random_ = base::Xoshiro256(value); }
  const Policy& policy() const { return *policy_; }
  const std::shared_ptr<const Policy>& shared() const { return policy_; }

 private:
  base::Xoshiro256* random(bool deterministic);

  std::shared_ptr<const Policy> policy_;
  base::Xoshiro256 random_;
  std::int64_t pid_;
};

}  // namespace daybreak::rl
