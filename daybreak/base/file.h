// Files written whole or not at all.
#pragma once

#include <string>
#include <string_view>

#include "daybreak/base/env.h"
#include "daybreak/base/error.h"

namespace daybreak::base {

// Writes `bytes` to `path` so that, whatever fails at whatever moment, a reader finds the old file or the new one,
// never a part: a temporary file beside it (mode 0600), sync, rename over it, sync of the directory. On failure the
// temporary file is removed and `path` is as it was. Blocks on the disk.
Status write_file_atomically(const std::string& path, std::string_view bytes, Env& env = Env::real());

// env.read_file, for symmetry.
Result<std::string> read_file(const std::string& path, std::size_t max_bytes, Env& env = Env::real());

}  // namespace daybreak::base
