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

// Arguments as they were given, to be read by a rule whose error names the argument and the value; nanobind's own would
// list types. For the length of a call.
struct WholeGiven {
  nanobind::handle value;
};
struct BytesGiven {
  nanobind::handle value;
};
struct StatementsGiven {
  nanobind::handle value;
};

// daybreak.base.numbers.integer's rule. InvalidArgumentError.
std::int64_t whole_of(WholeGiven given, const char* name);
inline std::optional<std::int64_t> whole_or_none_of(WholeGiven given, const char* name) {
  return given.value.is_none() ? std::nullopt : std::optional(whole_of(given, name));
}
// Of bytes themselves, of others (bytearray, memoryview, an array of bytes) a copy. TypeError.
nanobind::bytes bytes_of(BytesGiven given, const char* name);

Hash id_of(const std::string& hex, const char* what);
EntityRecord record_of(BytesGiven record, const char* name);
std::vector<Statement> statements_of(StatementsGiven statements);
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

namespace nanobind::detail {

template <typename Given>
struct given_caster {
  bool from_python(handle given, std::uint8_t, cleanup_list*) noexcept {
    value.value = given;
    return true;
  }
  template <typename>
  using Cast = Given;
  template <typename>
  static constexpr bool can_cast() {
    return true;
  }
  explicit operator Given() { return value; }
  Given value;
};
template <>
struct type_caster<daybreak::grant::WholeGiven> : given_caster<daybreak::grant::WholeGiven> {
  static constexpr auto Name = const_name("int");
};
template <>
struct type_caster<daybreak::grant::BytesGiven> : given_caster<daybreak::grant::BytesGiven> {
  static constexpr auto Name = const_name("bytes");
};
template <>
struct type_caster<daybreak::grant::StatementsGiven> : given_caster<daybreak::grant::StatementsGiven> {
  static constexpr auto Name = make_caster<daybreak::grant::PyStatements>::Name;
};

}  // namespace nanobind::detail
