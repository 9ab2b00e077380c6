// A policy as an ONNX model, written without ONNX: the few protobuf messages that such a net needs.
#pragma once

#include <string>

#include "daybreak/rl/policy.h"

namespace daybreak::rl {

// An ONNX ModelProto (IR 8, opset 13). Input "observation" float32 [batch, n], raw: the filter is inside. Outputs
// "action", the greedy one: int64 [batch] for Discrete, float32 [batch, m] within the bounds for Box; and "outputs",
// the net's logits, means or action values, float32 [batch, m].
std::string to_onnx(const Policy& policy);

}  // namespace daybreak::rl
