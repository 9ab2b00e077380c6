// Files written whole or not at all.
#pragma once

#include <string>
#include <string_view>

#include "daybreak/base/error.h"

namespace daybreak::base {

// Writes `bytes` to `path` so that, whatever fails at whatever moment, a reader finds the old file or the new one,
// never a part: a temporary file beside it (mode 0600), fsync, rename over it, fsync of the directory. On failure the
// temporary file is removed and `path` is untouched. Blocks on the disk.
Status write_file_atomically(const std::string& path, std::string_view bytes);

// The whole file. kResourceExhausted when it is larger than `max_bytes`; kNotFound when there is none.
Result<std::string> read_file(const std::string& path, std::size_t max_bytes);

}  // namespace daybreak::base
