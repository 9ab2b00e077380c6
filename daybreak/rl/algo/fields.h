// What a trainer keeps in a checkpoint beside its arrays of floats, listed once: a function template
//
//   template <typename Archive, typename Self>
//   static void fields(Archive& archive, Self& self);
//
// names the fields in the order of the file, and runs over a FieldWriter to save them and over a FieldReader to restore.
// docs/formats/rl-policy.md describes the file.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "daybreak/base/bytes.h"
#include "daybreak/base/random.h"
#include "daybreak/rl/algo/replay.h"
#include "daybreak/rl/envs/vec_env.h"
#include "daybreak/rl/nn/filter.h"
#include "daybreak/rl/trainer.h"

namespace daybreak::rl {

// Whole numbers take 8 bytes, arrays stand behind their size in bytes.
class FieldWriter {
 public:
  template <typename T>
    requires std::is_arithmetic_v<T>
  void operator()(const char* /*name*/, T number) {
    if constexpr (std::is_floating_point_v<T>) {
      out_.fixed<T>(number);
    } else {
      out_.fixed<std::uint64_t>(static_cast<std::uint64_t>(number));
    }
  }
  template <typename T>
  void operator()(const char* /*name*/, const std::vector<T>& values) {
    out_.array(std::span(values));
  }
  void operator()(const char* /*name*/, const base::Xoshiro256& random) {
    for (const std::uint64_t word : random.state()) out_.fixed<std::uint64_t>(word);
  }
  void operator()(const char* name, const nn::RunningStats& stats) {
    (*this)(name, stats.count);
    (*this)(name, stats.mean);
    (*this)(name, stats.m2);
  }
  void operator()(const char* name, const nn::Filter& filter) {
    (*this)(name, filter.mean);
    (*this)(name, filter.inverse_std);
  }
  void operator()(const char* /*name*/, const EpisodeWindow& window) { out_.fixed_text<std::uint64_t>(window.save()); }
  void operator()(const char* /*name*/, const ReplayBuffer& replay) {
    out_.fixed_text<std::uint64_t>(replay.save_state());
  }
  void text(const char* /*name*/, std::string_view bytes) { out_.fixed_text<std::uint64_t>(bytes); }

  std::string take() { return out_.take(); }

 private:
  base::ByteWriter out_;
};

// Into fields that have the sizes they must have. Borrows the bytes; `what` begins its errors.
class FieldReader {
 public:
  FieldReader(std::string_view bytes, const char* what) : in_(bytes, what) {}

  template <typename T>
    requires std::is_arithmetic_v<T>
  void operator()(const char* name, T& number) {
    if constexpr (std::is_floating_point_v<T>) {
      number = in_.fixed<T>();
    } else {
      const std::uint64_t read = in_.fixed<std::uint64_t>();
      if constexpr (std::is_same_v<T, bool>) in_.require(read <= 1, name);
      number = static_cast<T>(read);
    }
  }
  template <typename T>
  void operator()(const char* name, std::vector<T>& values) {
    in_.array(std::span(values), name);
  }
  void operator()(const char* /*name*/, base::Xoshiro256& random) {
    std::array<std::uint64_t, 4> state{};
    for (std::uint64_t& word : state) word = in_.fixed<std::uint64_t>();
    random.set_state(state);
  }
  void operator()(const char* name, nn::RunningStats& stats) {
    (*this)(name, stats.count);
    (*this)(name, stats.mean);
    (*this)(name, stats.m2);
  }
  void operator()(const char* name, nn::Filter& filter) {
    (*this)(name, filter.mean);
    (*this)(name, filter.inverse_std);
  }
  void operator()(const char* name, EpisodeWindow& window) {
    in_.require(window.load(in_.fixed_text<std::uint64_t>()), name);
  }
  void operator()(const char* name, ReplayBuffer& replay) {
    in_.require(replay.load_state(in_.fixed_text<std::uint64_t>()), name);
  }
  void text(const char* /*name*/, std::string_view& bytes) { bytes = in_.fixed_text<std::uint64_t>(); }

  bool ok() const { return in_.ok(); }
  // All was there, and nothing is left.
  bool finish() { return in_.finish().has_value(); }

 private:
  base::ByteReader in_;
};

}  // namespace daybreak::rl
