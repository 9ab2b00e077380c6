#include "daybreak/base/temp_dir.h"

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

namespace daybreak::base {

Result<TempDir> TempDir::create() {
  const char* place = std::getenv("TMPDIR");
  std::string pattern = fmt::format("{}/daybreak-XXXXXX", place == nullptr || *place == '\0' ? "/tmp" : place);
  if (::mkdtemp(pattern.data()) == nullptr) {
    return fail_errno(fmt::format("make a temporary directory '{}' (TMPDIR names another place)", pattern), errno);
  }
  return TempDir(std::move(pattern));
}

TempDir::TempDir(TempDir&& other) noexcept : path_(std::exchange(other.path_, {})) {}

TempDir::~TempDir() {
  std::error_code ignored;  // what cannot be removed stays: nobody is there to be told
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

}  // namespace daybreak::base
