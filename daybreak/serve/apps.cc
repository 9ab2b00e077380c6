#include "daybreak/serve/apps.h"

#include <algorithm>
#include <mutex>

namespace daybreak::serve {

using base::Code;
using base::fail;

base::Status check_name(std::string_view what, std::string_view name) {
  const bool legal = !name.empty() && name.size() <= kMaxNameBytes && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  });
  if (!legal)
    return fail(Code::kInvalidArgument, "the {} '{}': 1 to {} letters, digits, '-', '_' and '.'", what,
                name.substr(0, kMaxNameBytes), kMaxNameBytes);
  return {};
}

base::Status Apps::add(const AppOptions& options) {
  DAYBREAK_TRY(check_name("app", options.name));
  auto config = std::make_shared<AppConfig>();
  config->name = options.name;
  DAYBREAK_ASSIGN(config->input_type, parse_input_type(options.input_type));
  if (options.default_output)
    config->default_output =
        is_json(*options.default_output) ? *options.default_output : json_string(*options.default_output);
  if (options.slo_us <= 0 || options.slo_us > 3'600'000'000)
    return fail(Code::kInvalidArgument, "slo_us={} of app '{}': between 1 and 3,600,000,000 (an hour)", options.slo_us,
                options.name);
  config->slo_ns = options.slo_us * 1000;
  config->refuse_with_503 = options.refuse_with_503;
  const std::unique_lock lock(mutex_);
  if (apps_.contains(options.name)) return fail(Code::kAlreadyExists, "app '{}' is there already", options.name);
  if (apps_.size() >= kMaxApps) return fail(Code::kResourceExhausted, "there are {} apps, the most", kMaxApps);
  auto app = std::make_shared<App>();
  app->config = std::move(config);
  app->metrics = std::make_shared<AppMetrics>(registry_, options.name);
  app->gate = options.gate;
  apps_.emplace(options.name, std::move(app));
  return {};
}

base::Status Apps::remove(const std::string& name) {
  const std::unique_lock lock(mutex_);
  if (apps_.erase(name) == 0) return fail(Code::kNotFound, "no app '{}'", name);
  return {};
}

base::Status Apps::link(const std::string& name, const std::string& model) {
  const std::unique_lock lock(mutex_);
  const auto app = apps_.find(name);
  if (app == apps_.end()) return fail(Code::kNotFound, "no app '{}'", name);
  const auto found = models_.find(model);
  if (found == models_.end()) return fail(Code::kNotFound, "no model '{}'", model);
  if (app->second->model)
    return fail(Code::kAlreadyExists, "app '{}' is linked to model '{}' already", name, app->second->model->name());
  if (types_.at(model) != app->second->config->input_type)
    return fail(Code::kInvalidArgument, "app '{}' takes {}, model '{}' takes {}", name,
                input_type_name(app->second->config->input_type), model, input_type_name(types_.at(model)));
  auto changed = std::make_shared<App>(*app->second);
  changed->model = found->second;
  app->second = std::move(changed);
  return {};
}

base::Status Apps::unlink(const std::string& name, const std::string& model) {
  const std::unique_lock lock(mutex_);
  const auto app = apps_.find(name);
  if (app == apps_.end()) return fail(Code::kNotFound, "no app '{}'", name);
  if (!app->second->model || app->second->model->name() != model)
    return fail(Code::kNotFound, "app '{}' is not linked to model '{}'", name, model);
  auto changed = std::make_shared<App>(*app->second);
  changed->model = nullptr;
  app->second = std::move(changed);
  return {};
}

std::shared_ptr<const App> Apps::find(std::string_view name) const {
  const std::shared_lock lock(mutex_);
  const auto found = apps_.find(name);
  return found == apps_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<const App>> Apps::all() const {
  const std::shared_lock lock(mutex_);
  std::vector<std::shared_ptr<const App>> all;
  all.reserve(apps_.size());
  for (const auto& [name, app] : apps_) all.push_back(app);
  return all;
}

base::Status Apps::add_version(const std::string& name, VersionConfig config) {
  DAYBREAK_TRY(check_name("model", name));
  DAYBREAK_TRY(check_name("version", config.name));
  const std::unique_lock lock(mutex_);
  auto found = models_.find(name);
  if (found == models_.end()) {
    if (models_.size() >= kMaxModels)
      return fail(Code::kResourceExhausted, "there are {} models, the most", kMaxModels);
    DAYBREAK_ASSIGN(auto model, Model::create(name, registry_, hooks_));
    found = models_.emplace(name, std::move(model)).first;
  } else if (types_.at(name) != config.input_type && !found->second->versions().empty()) {
    return fail(Code::kInvalidArgument, "model '{}' takes {}, version '{}' takes {}", name,
                input_type_name(types_.at(name)), config.name, input_type_name(config.input_type));
  }
  const InputType type = config.input_type;
  DAYBREAK_TRY(found->second->add_version(std::move(config)));
  types_.insert_or_assign(name, type);
  return {};
}

base::Status Apps::delete_version(const std::string& name, const std::string& version) {
  DAYBREAK_ASSIGN(const auto found, model(name));
  DAYBREAK_TRY(found->delete_version(version));
  // A model without versions that nobody asks is forgotten, as its app is when it is deleted: both have a limit.
  const std::unique_lock lock(mutex_);
  const bool linked = std::ranges::any_of(apps_, [&](const auto& entry) { return entry.second->model == found; });
  const auto here = models_.find(name);
  if (here != models_.end() && here->second == found && !linked && found->versions().empty()) {
    models_.erase(here);
    types_.erase(name);
  }
  return {};
}

base::Status Apps::set_current(const std::string& name, const std::string& version) {
  DAYBREAK_ASSIGN(const auto found, model(name));
  return found->set_current(version);
}

base::Result<std::shared_ptr<Model>> Apps::model(const std::string& name) const {
  const std::shared_lock lock(mutex_);
  const auto found = models_.find(name);
  if (found == models_.end()) return fail(Code::kNotFound, "no model '{}'", name);
  return found->second;
}

std::vector<std::shared_ptr<Model>> Apps::models() const {
  const std::shared_lock lock(mutex_);
  std::vector<std::shared_ptr<Model>> all;
  all.reserve(models_.size());
  for (const auto& [name, model] : models_) all.push_back(model);
  return all;
}

}  // namespace daybreak::serve
