#include "daybreak/base/file.h"

#include <tuple>

namespace daybreak::base {
namespace {

Status write_and_sync(Env& env, const std::string& path, std::string_view bytes) {
  DAYBREAK_ASSIGN(const auto file, env.create_file(path));
  DAYBREAK_TRY(file->append(bytes));
  DAYBREAK_TRY(file->sync());
  return file->close();
}

}  // namespace

Status write_file_atomically(const std::string& path, std::string_view bytes, Env& env) {
  const std::string temporary = fmt::format("{}.{:016x}.tmp", path, env.random_u64());
  Status written = write_and_sync(env, temporary, bytes);
  if (written) written = env.rename_file(temporary, path);
  if (!written) {
    std::ignore = env.remove_file(temporary);  // it may not be there; the first error is the one to tell
    return written;
  }
  const std::size_t slash = path.rfind('/');
  return env.sync_directory(slash == std::string::npos ? "." : path.substr(0, slash + 1));
}

Result<std::string> read_file(const std::string& path, std::size_t max_bytes, Env& env) {
  return env.read_file(path, max_bytes);
}

}  // namespace daybreak::base
