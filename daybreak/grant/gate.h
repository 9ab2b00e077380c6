// A verifier as the C struct "daybreak.gate.v1" (base/capsule.h), which a server in another room calls without an
// include of ours.
#pragma once

#include <memory>

#include "daybreak/base/capsule.h"
#include "daybreak/grant/verifier.h"

namespace daybreak::grant {

// The caller has one reference: call release(context) when done.
daybreak_gate_v1* make_gate(std::shared_ptr<Verifier> verifier);

}  // namespace daybreak::grant
