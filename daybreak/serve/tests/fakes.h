// A model and a gate in C, as another room would bring them.
#pragma once

#include <atomic>
#include <cstring>
#include <mutex>
#include <set>
#include <string>

#include "daybreak/base/capsule.h"

namespace daybreak::serve {

// Adds its inputs, once it is not held up; fails for a first number of -1 and gives NaN for -2.
struct FakeModel {
  std::atomic<int> held{1};
  std::atomic<int> calls{0};
  std::atomic<bool> held_up{false};
  daybreak_model_v1 raw{};

  explicit FakeModel(std::uint64_t elements = 2) {
    raw.size_bytes = sizeof raw;
    raw.context = this;
    raw.retain = [](void* self) { ++static_cast<FakeModel*>(self)->held; };
    raw.release = [](void* self) { --static_cast<FakeModel*>(self)->held; };
    raw.description = "adds";
    raw.input_dtype = raw.output_dtype = DAYBREAK_MODEL_FLOAT32;
    raw.input_elements = elements;
    raw.output_elements = 1;
    raw.predict = [](void* context, const void* inputs, std::uint64_t count, void* outputs, char* error,
                     std::size_t size) -> std::int32_t {
      auto* self = static_cast<FakeModel*>(context);
      ++self->calls;
      self->held_up.wait(true);
      const auto* in = static_cast<const float*>(inputs);
      for (std::uint64_t i = 0; i < count; ++i) {
        float sum = 0;
        for (std::uint64_t j = 0; j < self->raw.input_elements; ++j) sum += in[i * self->raw.input_elements + j];
        if (in[i * self->raw.input_elements] == -1) {
          std::strncpy(error, "it does not like -1", size);
          return 3;
        }
        if (in[i * self->raw.input_elements] == -2) sum = 0.0f / 0.0f;
        static_cast<float*>(outputs)[i] = sum;
      }
      return 0;
    };
  }
  void hold_up() { held_up = true; }
  void let_go() {
    held_up = false;
    held_up.notify_all();
  }
};

// Lets whoever has the session "sss..." (32 times) in, while `code` is 0; a proof "good" with a new nonce too.
struct FakeGate {
  std::atomic<int> held{1};
  std::atomic<int> code{DAYBREAK_GATE_ALLOWED};
  std::atomic<int> checks{0};
  std::mutex mutex;
  std::string last;  // permission resource app origin method path
  std::set<std::string> nonces;
  daybreak_gate_v1 raw{};

  FakeGate() {
    raw.size_bytes = sizeof raw;
    raw.context = this;
    raw.retain = [](void* self) { ++static_cast<FakeGate*>(self)->held; };
    raw.release = [](void* self) { --static_cast<FakeGate*>(self)->held; };
    raw.staleness_bound_ns = 200'000'000;
    raw.check = [](void* context, const daybreak_gate_request_v1* request, daybreak_gate_decision_v1* decision) {
      auto* self = static_cast<FakeGate*>(context);
      ++self->checks;
      const auto text = [](daybreak_bytes bytes) {
        return std::string(static_cast<const char*>(bytes.data), bytes.size_bytes);
      };
      const std::lock_guard lock(self->mutex);
      self->last = text(request->permission) + " " + text(request->resource) + " " + text(request->app) + " " +
                   text(request->origin) + " " + text(request->method) + " " + text(request->path_and_query);
      decision->code = DAYBREAK_GATE_NOT_GRANTED;
      if (text(request->session) == std::string(32, 's')) decision->code = self->code;
      if (text(request->proof) == "good")
        decision->code = self->nonces.insert(text(request->nonce)).second ? self->code.load() : DAYBREAK_GATE_REPLAYED;
    };
    raw.challenge = [](void*, daybreak_bytes, daybreak_bytes, std::uint8_t out[32]) -> std::int32_t {
      std::memset(out, 'c', 32);
      return 0;
    };
    raw.open_session = [](void* context, const daybreak_gate_request_v1* request, std::uint8_t token[32],
                          daybreak_gate_decision_v1* decision) {
      auto* self = static_cast<FakeGate*>(context);
      decision->code = request->proof.size_bytes == 4 && request->nonce.size_bytes == 32 ? self->code.load()
                                                                                         : DAYBREAK_GATE_NOT_GRANTED;
      if (decision->code == DAYBREAK_GATE_ALLOWED) std::memset(token, 's', 32);
    };
    raw.close_session = [](void* context, daybreak_bytes) {
      static_cast<FakeGate*>(context)->code = DAYBREAK_GATE_NO_PROOF;
    };
    raw.explain = [](void*, char* out, std::size_t size) {
      if (size > 0) out[0] = 0;
    };
  }
};

}  // namespace daybreak::serve
