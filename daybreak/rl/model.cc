#include "daybreak/rl/model.h"

#include <atomic>
#include <string>
#include <utility>

namespace daybreak::rl {

namespace {

struct SharedModel {
  daybreak_model_v1 model{};
  std::shared_ptr<const Policy> policy;
  std::string description;
  std::atomic<std::int64_t> holders{1};
};

void retain_model(void* context) {
  static_cast<SharedModel*>(context)->holders.fetch_add(1, std::memory_order_relaxed);
}

void release_model(void* context) {
  auto* shared = static_cast<SharedModel*>(context);
  if (shared->holders.fetch_sub(1, std::memory_order_acq_rel) == 1) delete shared;
}

std::int32_t predict(void* context, const void* inputs, std::uint64_t count, void* outputs, char* /*error*/,
                     std::size_t /*error_size_bytes*/) {
  static_cast<SharedModel*>(context)->policy->act_batch(static_cast<const float*>(inputs),
                                                        static_cast<std::int64_t>(count), outputs);
  return 0;
}

}  // namespace

const daybreak_model_v1* make_model(std::shared_ptr<const Policy> policy) {
  auto* shared = new SharedModel;
  shared->description = fmt::format("policy of {} on {}", policy->info().algo, policy->info().env);
  shared->policy = std::move(policy);
  daybreak_model_v1& model = shared->model;
  model.size_bytes = sizeof model;
  model.context = shared;
  model.retain = retain_model;
  model.release = release_model;
  model.description = shared->description.c_str();
  model.input_dtype = DAYBREAK_MODEL_FLOAT32;
  model.output_dtype = shared->policy->discrete() ? DAYBREAK_MODEL_INT32 : DAYBREAK_MODEL_FLOAT32;
  model.input_elements = static_cast<std::uint64_t>(shared->policy->observation_size());
  model.output_elements = static_cast<std::uint64_t>(shared->policy->action_size());
  model.predict = predict;
  return &model;
}

}  // namespace daybreak::rl
