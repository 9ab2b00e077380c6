#include "daybreak/runtime/task_names.h"

#include <algorithm>
#include <cstring>

#include "daybreak/runtime/value_format.h"

namespace daybreak::runtime {

bool read_blob(Segment& segment, const Blob& blob, std::uint64_t from, std::span<char> out) {
  if (blob.where == kInline) {
    if (from > kInlineBytes || out.size() > kInlineBytes - from) return false;
    std::memcpy(out.data(), blob.bytes + from, out.size());
    return true;
  }
  if (!blob.has_block()) return false;
  const std::uint64_t end = segment.control().committed.load();
  if (blob.offset > end || from > end - blob.offset || out.size() > end - blob.offset - from) return false;
  std::memcpy(out.data(), segment.data(blob.offset + from), out.size());
  return true;
}

std::string_view name_of_entry(Segment& segment, const Entry& entry, bool of_call, std::span<char> room) {
  const Blob blob = of_call ? entry.args : entry.value;
  constexpr std::uint64_t kBefore = 3 * sizeof(std::uint16_t);
  if (blob.codec == kCodecNative || blob.codec == kCodecPython) {
    const std::span<char> text = room.first(std::min<std::uint64_t>(blob.size, room.size()));
    if (!read_blob(segment, blob, 0, text)) return {};
    const std::string_view all(text.data(), text.size());
    return all.substr(0, all.find('\n'));
  }
  char head[kBefore];
  if (blob.codec != kCodecArgs || blob.size < kBefore || !read_blob(segment, blob, 0, head)) return {};
  std::uint16_t size = 0;
  std::memcpy(&size, head + kBefore - sizeof size, sizeof size);
  const std::uint64_t most = std::min<std::uint64_t>({size, room.size(), blob.size - kBefore});
  const std::span<char> text = room.first(most);
  return read_blob(segment, blob, kBefore, text) ? std::string_view(text.data(), text.size()) : std::string_view();
}

std::string_view name_of_task(Segment& segment, const Entry& entry, Kind kind, std::span<char> room) {
  if (kind == Kind::kActorCall) return name_of_entry(segment, entry, true, room);
  const Ref function = entry.part.function;
  if (function.index >= kMaxObjects) return {};
  Entry& of_function = segment.entry(function.index);
  const std::string_view name = name_of_entry(segment, of_function, false, room);
  return of_function.load().generation() == function.generation ? name : std::string_view();
}

}  // namespace daybreak::runtime
