// What the bindings of samplers, pruners and importances share.
#pragma once

#include "daybreak/tune/trials.h"

namespace daybreak::tune::python {

// A type of its own, since the study's trials are the study's.
struct Mirror {
  Trials trials;
};

}  // namespace daybreak::tune::python
