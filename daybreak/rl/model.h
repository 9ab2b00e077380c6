// A policy as others run it: the C struct `daybreak.model.v1` (base/capsule.h).
#pragma once

#include <memory>

#include "daybreak/base/capsule.h"
#include "daybreak/rl/policy.h"

namespace daybreak::rl {

// float32 observations to greedy actions: int32 [1] for Discrete, float32 [m] for Box. The struct is held once for the
// caller, who calls release(context) in the end. predict() refuses no input: a policy answers any numbers.
const daybreak_model_v1* make_model(std::shared_ptr<const Policy> policy);

}  // namespace daybreak::rl
