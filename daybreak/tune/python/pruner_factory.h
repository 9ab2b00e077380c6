// What Python calls a pruner of a study of ours: how to make one for a study, of its name. Each study has a pruner of its own.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "daybreak/tune/pruners.h"

namespace daybreak::tune {

struct PrunerFactory {
  std::function<base::Result<std::unique_ptr<Pruner>>(const std::string& study_name)> make;
};

}  // namespace daybreak::tune
