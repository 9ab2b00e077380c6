// Training checkpoints: a policy file with more tensors in it. docs/formats/rl-policy.md describes the file.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "daybreak/base/error.h"
#include "daybreak/rl/policy.h"
#include "daybreak/tensor/container.h"

namespace daybreak::rl {

inline constexpr std::int64_t kCheckpointVersion = 1;
inline constexpr std::string_view kCheckpointKey = "checkpoint";

// A flat array of a trainer under its name in the file ("train.params"). The floats belong to the trainer.
struct NamedFloats {
  const char* name;
  std::span<float> values;
};
struct NamedConstFloats {
  const char* name;
  std::span<const float> values;
};

// `state`: everything small, as base::ByteWriter made it. `config`: the trainer's configuration, JSON.
base::Result<std::string> write_checkpoint(const Policy& policy, std::span<const NamedConstFloats> arrays,
                                           std::string_view state, std::string_view config);

// A file that was read, found whole and to belong to a trainer like this one. A value; owns the bytes.
class Checkpoint {
 public:
  // kDataLoss: damaged. kInvalidArgument: no checkpoint, another version, an option named in `same` that differs from
  // `config` (the shapes follow from those; others may differ, that is how training is continued with others), or
  // without one of `arrays` in its length.
  static base::Result<Checkpoint> open(std::string bytes, std::string_view config,
                                       std::initializer_list<const char*> same, std::span<const NamedFloats> arrays);
  std::string_view state() const;
  // Into the arrays that open() was given.
  void copy_to(std::span<const NamedFloats> arrays) const;

 private:
  explicit Checkpoint(tensor::Container file) : file_(std::move(file)) {}
  tensor::Container file_;
};

}  // namespace daybreak::rl
