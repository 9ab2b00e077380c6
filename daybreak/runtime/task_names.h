// What people see of a task: the name of its function, or of the method. Read from entries that may change meanwhile.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "daybreak/runtime/segment.h"

namespace daybreak::runtime {

// [from, from + out.size()) of a blob and the Refs behind it. False where that cannot be.
bool read_blob(Segment& segment, const Blob& blob, std::uint64_t from, std::span<char> out);
// Of a function's value (`of_call`: of the arguments of an actor's call), both of which begin with a name. In `room`,
// which may cut it.
std::string_view name_of_entry(Segment& segment, const Entry& entry, bool of_call, std::span<char> room);
// Of a task or call; "" where its function is gone.
std::string_view name_of_task(Segment& segment, const Entry& entry, Kind kind, std::span<char> room);

}  // namespace daybreak::runtime
