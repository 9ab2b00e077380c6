// A scheduler by its name and its options, of which each is a number: what Python and an experiment's plan know it by.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "daybreak/tune/scheduler.h"

namespace daybreak::tune::python {

// Null for "". Raises for a name that there is not and for options that cannot be.
std::unique_ptr<Scheduler> scheduler_of(const std::string& name, const std::map<std::string, double>& numbers);

}  // namespace daybreak::tune::python
