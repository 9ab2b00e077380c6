// Does the engine see what it claims to see? Classic two-fiber programs with known outcomes, run before anything else.
#pragma once

#include <string>

namespace daybreak::base::interleave {

// "" when every outcome that a model of memory allows was seen and none that it forbids; else what was not so. Some 0.2
// s.
std::string self_test();

}  // namespace daybreak::base::interleave
