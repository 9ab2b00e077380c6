// Between Python's values and the room's: ids are 64 hexadecimal digits, times whole unix seconds, pairs are
// (permission, resource).
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daybreak/base/bind.h"
#include "daybreak/grant/verifier.h"

namespace daybreak::grant {

using PyPairs = std::vector<std::pair<std::string, std::string>>;
using PyStatements = std::vector<std::pair<std::vector<std::string>, std::string>>;

inline std::string_view text_of(const nanobind::bytes& bytes) {
  return {bytes.c_str(), bytes.size()};
}
inline nanobind::bytes py_bytes(std::string_view bytes) {
  return nanobind::bytes(bytes.data(), bytes.size());
}
inline nanobind::bytes py_bytes(std::span<const std::uint8_t> bytes) {
  return py_bytes(view(bytes));
}

Hash id_of(const std::string& hex, const char* what);
EntityRecord record_of(const nanobind::bytes& record);
std::vector<Statement> statements_of(const PyStatements& statements);
Policy policy_of(const PyPairs& pairs);
std::optional<std::string_view> passphrase_of(const std::optional<std::string>& passphrase);

// Exactly N bytes, or InvalidArgumentError.
template <std::size_t N>
std::array<std::uint8_t, N> array_of(const nanobind::bytes& bytes, const char* what) {
  std::array<std::uint8_t, N> out;
  if (bytes.size() != N) {
    base::raise(
        base::Error(base::Code::kInvalidArgument, fmt::format("{} has {} bytes, not {}", what, bytes.size(), N)));
  }
  std::copy_n(reinterpret_cast<const std::uint8_t*>(bytes.c_str()), N, out.begin());
  return out;
}

// Throws daybreak.grant.Denied. The GIL must be held.
[[noreturn]] void raise_denied(const Denial& denial);

template <typename T>
T value_or_denied(Checked<T> checked) {
  if (!checked) raise_denied(checked.error());
  return std::move(*checked);
}

}  // namespace daybreak::grant
