// What an app and its model look like to those who ask: JSON for pages and commands, Clipper's metrics.
#pragma once

#include <string>

#include "daybreak/base/json.h"
#include "daybreak/serve/apps.h"

namespace daybreak::serve {

// For GET /daybreak/v1/apps/NAME: what a caller of the app may know.
base::Json describe_app(const App& app);
// Everything, for the owner.
base::Json describe_all(const Apps& apps);
// Clipper's GET /metrics.
std::string clipper_metrics(const Apps& apps, double uptime_s);

}  // namespace daybreak::serve
