// Where code is, in a way that another process of the same build understands: the build id of the program or library that it is
// part of, and its distance from where that was loaded. So a function needs no name and no registration to run in a worker.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "daybreak/base/error.h"

namespace daybreak::runtime {

struct CodeAddress {
  std::string build_id;      // hexadecimal digits
  std::uint64_t offset = 0;  // from the address at which the module was loaded
  std::string path;          // of a library; empty: it is the program's own
};

// kInvalidArgument: no module has this address, or its module has no build id. Looks at the program's modules once, and again
// after a miss. Any thread.
base::Result<CodeAddress> code_address(const void* code);

// The code in this process. A library that is not there yet is loaded from its path. kFailedPrecondition: what is there is
// another build. `build_id` may be the first digits alone.
base::Result<const void*> find_code(const CodeAddress& address);

// What a stack or an error may call it: its symbol where the module shows one, else its distance.
std::string name_of_code(const void* code);

}  // namespace daybreak::runtime
