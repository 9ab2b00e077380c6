// The apps that are served, and the models behind them.
#pragma once

#include <map>
#include <memory>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/serve/gate.h"
#include "daybreak/serve/model.h"

namespace daybreak::serve {

inline constexpr std::size_t kMaxApps = 1000;
inline constexpr std::size_t kMaxModels = 1000;
inline constexpr std::size_t kMaxNameBytes = 128;

struct AppOptions {
  std::string name;
  std::string input_type;
  std::optional<std::string> default_output;
  std::int64_t slo_us = 100'000;
  bool refuse_with_503 = false;
  std::shared_ptr<Gate> gate;
};

// An app. Only its model changes.
struct App {
  std::shared_ptr<const AppConfig> config;
  std::shared_ptr<AppMetrics> metrics;
  std::shared_ptr<Gate> gate;
  std::shared_ptr<Model> model;  // or none
};

// Any thread may call any function.
class Apps {
 public:
  explicit Apps(Hooks hooks) : hooks_(std::move(hooks)) {}

  base::Status add(const AppOptions& options);
  base::Status remove(const std::string& name);
  // kNotFound, kAlreadyExists when the app has a model, kInvalidArgument when the types differ.
  base::Status link(const std::string& app, const std::string& model);
  base::Status unlink(const std::string& app, const std::string& model);
  // The app as it is now; empty when there is none.
  std::shared_ptr<const App> find(std::string_view name) const;
  std::vector<std::shared_ptr<const App>> all() const;

  // Makes the model when it is not there.
  base::Status add_version(const std::string& model, VersionConfig config);
  // The model goes with its last version, unless an app is linked to it.
  base::Status delete_version(const std::string& model, const std::string& version);
  base::Status set_current(const std::string& model, const std::string& version);
  base::Result<std::shared_ptr<Model>> model(const std::string& name) const;
  std::vector<std::shared_ptr<Model>> models() const;

  base::Registry& registry() { return registry_; }
  // The clock of deadlines.
  base::Env& env() const { return *hooks_.env; }

 private:
  base::Registry registry_;
  const Hooks hooks_;
  mutable std::shared_mutex mutex_;
  std::map<std::string, std::shared_ptr<const App>, std::less<>> apps_;
  std::map<std::string, std::shared_ptr<Model>, std::less<>> models_;
  std::map<std::string, InputType, std::less<>> types_;  // of models
};

// Letters, digits, '-', '_' and '.', at most kMaxNameBytes. kInvalidArgument says what is wrong.
base::Status check_name(std::string_view what, std::string_view name);

}  // namespace daybreak::serve
