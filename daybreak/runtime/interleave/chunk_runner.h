// Runs a chunk of a Batch as a worker does, without Python: for tests. An input is a whole number, and so is its result.
#pragma once

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/runtime/batch.h"
#include "daybreak/runtime/value_format.h"

namespace daybreak::runtime {

// What is read of a chunk's arguments and results: one of these.
struct PlainItem {
  std::int64_t number = -1;
  std::string_view joined;
  std::span<const Ref> refs;

  bool none() { return false; }
  bool boolean(bool) { return false; }
  bool integer(std::int64_t found) { return number = found, true; }
  bool real(double) { return false; }
  bool text(std::string_view) { return false; }
  bool bytes(std::span<const std::byte> found) {
    return joined = {reinterpret_cast<const char*>(found.data()), found.size()}, true;
  }
  bool container(Tag, std::uint32_t) { return false; }
  bool references(Tag, std::span<const Ref> found) { return refs = found, true; }
  bool tensor(char, std::span<const std::int64_t>, std::span<const std::byte>) { return false; }
  bool pickle(std::span<const std::byte>, std::span<const std::span<const std::byte>>, std::span<const Ref>) {
    return false;
  }
  bool damaged() { return false; }
};

inline std::string plain_number(std::int64_t number) {
  std::string bytes(1, static_cast<char>(Tag::kInt));
  bytes.append(reinterpret_cast<const char*>(&number), sizeof number);
  return bytes;
}

// The numbers that lie joined behind each other; `flagged`: a byte before each, of which 1 says that the call raised.
inline std::vector<std::int64_t> plain_numbers(std::string_view bytes, bool flagged) {
  constexpr std::size_t kEach = 1 + sizeof(std::int64_t);
  std::vector<std::int64_t> numbers;
  for (std::size_t at = flagged ? 1 : 0; at + kEach <= bytes.size(); at += kEach + (flagged ? 1 : 0)) {
    std::int64_t number = 0;
    std::memcpy(&number, bytes.data() + at + 1, sizeof number);
    numbers.push_back(number);
  }
  return numbers;
}

// call(number) for each call that this runner claims; then the task has its value, to be published by the caller. False:
// the arguments are damaged, or there was no room.
template <typename F>
bool run_plain_chunk(Client& client, std::uint32_t index, F&& call) {
  Process& p = client.process();
  ValueReader reader(p.args(index), p.args_refs(index));
  if (!reader.call()) return false;
  PlainItem refs, slot, unit, flags, inputs;
  for (PlainItem* item : {&refs, &slot, &unit, &flags, &inputs})
    if (!reader.item(*item)) return false;
  const std::vector<std::int64_t> numbers = plain_numbers(inputs.joined, false);
  auto* boards = reinterpret_cast<ChunkBoard*>(const_cast<std::byte*>(p.value(refs.refs[1].index).data()));
  ChunkProgress progress(boards[slot.number]);
  progress.begin();
  std::string results;
  std::size_t next = 0;
  while (const std::uint32_t count = progress.take(static_cast<std::uint32_t>(unit.number)))
    for (std::uint32_t i = 0; i < count; ++i, ++next) {
      call(numbers.at(next));
      results.push_back(0);
      results += plain_number(numbers[next]);
    }
  progress.end(0);
  ValueWriter writer;
  writer.bytes(results.data(), results.size());
  Payload payload;
  writer.add_pieces(payload);
  payload.codec = kCodecItem;
  return client.set_value(index, payload).has_value();
}

}  // namespace daybreak::runtime
