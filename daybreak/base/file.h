// Names of files: what a path leads to, and what is right for it as an input and as an output. Every room reads and
// writes the files that a user names through these functions, or through their Python face, daybreak/base/paths.py.
//
// | what is there             | as an input                                | as an output |
// |---------------------------|--------------------------------------------|-----------------------------------------------|
// | nothing                   | kNotFound                                  | made, whole or not at all, mode 0600 | | a
// file                    | read to its end, whatever size it says     | replaced in one step, mode 0600; refused when
// | |                           | (files of /proc say 0)                     | it is read-only | | a symbolic link |
// what it points at                          | what it points at; the link stays             | | a pipe | read to its
// end; kDeadlineExceeded after   | written into; kDeadlineExceeded when it has   | |                           |
// kPipePatienceNs without a byte             | no reader for kPipePatienceNs                 | | /dev/null, a terminal
// ... | /dev/null is empty; others are refused     | written into                                  | | an open
// descriptor        | read, as what it is                        | written into, where it stands (/dev/stdout)   | | a
// directory, a socket,    | refused                                    | refused | | a block device            | | |
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "daybreak/base/env.h"
#include "daybreak/base/error.h"

namespace daybreak::base {

// How long a pipe may be silent, as an input or without a reader, before it is given up.
inline constexpr std::int64_t kPipePatienceNs = 5'000'000'000;
// Of a file's name, as Linux has it; the temporary name beside a target keeps to it however long the target's is.
inline constexpr std::size_t kMaxFileNameBytes = 255;

enum class FileKind : std::uint8_t { kNothing, kRegular, kDirectory, kPipe, kCharacterDevice, kBlockDevice, kSocket };

// What a path leads to at this moment.
struct Place {
  FileKind kind = FileKind::kNothing;
  std::string path;              // the links at the path's end followed: what a rename must replace
  std::uint64_t size_bytes = 0;  // of a regular file, as it says itself
  std::uint64_t names = 1;       // how many hard links a regular file has: a replacement changes one
  bool size_is_known = false;  // it occupies what it says: neither empty nor made up when it is read, as in /proc, /sys
  bool read_only = false;      // a regular file that this process may not write, or that nobody may by its mode
  bool open_elsewhere = false;  // the name of an open descriptor, such as /dev/stdout: written into, never replaced
  int descriptor = -1;          // the descriptor, when it is one of this process
};

// kInvalidArgument for an empty path and one with a zero byte; an error of the system where the path cannot be followed
// (a loop of links, a directory above it that may not be searched).
Result<Place> place_of(const std::string& path);

// What can be read at `path`: a file, a pipe or /dev/null. Everything else is refused with what it is.
Result<Place> readable(const std::string& path);

// A name beside `path` that no file has and that fits the file system: the beginning of the name, at most 100 bytes of
// it, `random` and ".tmp".
std::string temporary_name(const std::string& path, std::uint64_t random);

// Writes what `write` appends to `path`, as the table above says. Into a file: whatever fails at whatever moment, a
// reader finds the old file or the new one, never a part (a temporary file beside it, sync, rename over it, sync of the
// directory); on failure the temporary file is removed and `path` is as it was. Blocks on the disk, or on the reader.
Status write_output(const std::string& path, const std::function<Status(WritableFile&)>& write, Env& env = Env::real());

// The same with all of the bytes at hand.
Status write_file_atomically(const std::string& path, std::string_view bytes, Env& env = Env::real());

// The whole of what is at `path`, as the table above says. kResourceExhausted when it is more than max_bytes.
Result<std::string> read_file(const std::string& path, std::size_t max_bytes, Env& env = Env::real());

}  // namespace daybreak::base
