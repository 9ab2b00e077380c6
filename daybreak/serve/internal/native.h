// A model of this process that answers on a thread of its own, over the same channel as another process would.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "daybreak/base/capsule.h"
#include "daybreak/serve/channel.h"
#include "daybreak/serve/input.h"
#include "daybreak/serve/slab.h"

namespace daybreak::serve {

class NativeRunner {
 public:
  explicit NativeRunner(const daybreak_model_v1* model) : model_(model) { model_->retain(model_->context); }
  ~NativeRunner() { model_->release(model_->context); }
  NativeRunner(const NativeRunner&) = delete;
  NativeRunner& operator=(const NativeRunner&) = delete;

  // Until the channel is closed. `completed` is called after each batch: the server takes the results on this thread.
  void run(const std::shared_ptr<ChannelMapping>& mapping, Slab& slab, InputType type,
           const std::function<void()>& completed);

 private:
  void answer(ReplicaSide& side, InputType type);

  const daybreak_model_v1* const model_;
  std::vector<std::byte> inputs_, outputs_;
  std::vector<std::uint32_t> rows_;
};

}  // namespace daybreak::serve
