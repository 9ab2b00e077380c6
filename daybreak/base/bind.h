// For bind.cc files only: a C++ Result becomes a Python value or a daybreak.base.errors exception.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/filesystem.h>

#include <filesystem>
#include <string>

#include "daybreak/base/error.h"

namespace daybreak::base {

// Throws the class of the error's code, with its whole chain as the message. The GIL must be held.
[[noreturn]] void raise(const Error& error);

// The path as it is to be kept: daybreak.base.paths.given, which raises for what is none. The argument is declared as
// const std::filesystem::path&, for which nanobind takes str, bytes and PathLike. The GIL must be held.
std::string given_path(const std::filesystem::path& path, const char* what);

// return value_or_raise(parse(text));
template <typename T>
T value_or_raise(Result<T> result) {
  if (!result) raise(result.error());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

}  // namespace daybreak::base
