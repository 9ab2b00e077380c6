// A policy file whose container is sound and whose metadata is anything: no crash, no huge allocation.
#include <cstddef>
#include <cstdint>
#include <string>

#include "daybreak/rl/policy.h"
#include "daybreak/tensor/container.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace daybreak;
  const float weights[] = {1, 2, 3, 4};
  const std::vector<tensor::TensorRef> tensors = {
      {"actor.0.weight", tensor::DType::kF32, {2, 2}, std::as_bytes(std::span(weights))},
      {"actor.0.bias", tensor::DType::kF32, {2}, std::as_bytes(std::span(weights, 2))}};
  auto bytes = tensor::write_container(tensors, {{"policy", std::string(reinterpret_cast<const char*>(data), size)}});
  if (!bytes) return 0;
  auto policy = rl::Policy::from_bytes(*std::move(bytes));
  if (policy) {
    std::vector<float> observation(static_cast<std::size_t>((*policy)->observation_size()));
    std::int32_t action = 0;
    if ((*policy)->discrete()) (void)(*policy)->act(observation, &action);
  }
  return 0;
}
