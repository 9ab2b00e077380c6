// Whatever bytes come: a journal's reader and pen answer; a reader gives only records that were written, the first ones
// in their order; and what a pen accepts goes on and is read again.
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "daybreak/base/temp_dir.h"
#include "daybreak/store/journal.h"

namespace base = daybreak::base;
namespace ds = daybreak::store;

namespace {

const std::string& journal_path() {
  static const base::TempDir directory = base::TempDir::create().value();
  static const std::string path = directory / "j";
  return path;
}

struct Input {
  std::string_view bytes;
  std::uint8_t byte() {
    if (bytes.empty()) return 0;
    const auto value = static_cast<std::uint8_t>(bytes[0]);
    bytes.remove_prefix(1);
    return value;
  }
  std::size_t below(std::size_t limit) {
    const std::size_t high = byte(), low = byte();
    return limit == 0 ? 0 : (high << 8 | low) % limit;
  }
};

using Written = std::vector<std::pair<std::uint32_t, std::string>>;

// The records up to an error or the end.
Written read_journal() {
  Written found;
  const auto reader = ds::JournalReader::open(journal_path());
  if (!reader) return found;
  while (true) {
    const auto batch = (*reader)->read(64);
    if (!batch || batch->records.empty()) return found;
    for (const ds::JournalRecord& record : batch->records) found.emplace_back(record.kind, record.body);
  }
}

bool begins_with(const Written& all, const Written& first) {
  return first.size() <= all.size() && std::equal(first.begin(), first.end(), all.begin());
}

// `known`: what had been written before it was altered; nothing when the bytes are anyone's.
void try_file(const std::string& bytes, const Written* known) {
  ::unlink((journal_path() + ".lock").c_str());
  std::ofstream(journal_path(), std::ios::binary | std::ios::trunc) << bytes;
  Written found = read_journal();
  if (known != nullptr && !begins_with(*known, found)) std::abort();
  {
    const auto journal = ds::Journal::open(journal_path());
    if (!journal) return;
    if (!(*journal)->append("and on", 3)) std::abort();
  }
  found.emplace_back(3, "and on");
  if (read_journal() != found) std::abort();
}

// A journal that the input describes: sizes, kinds and machines' boots of its records.
std::string describe(Input& input, Written& written, std::vector<std::size_t>& begins) {
  const std::uint32_t boots[] = {ds::boot_number(), ds::boot_number() ^ 1, 0};
  std::string bytes = ds::encode_journal_header({boots[input.byte() % 3], 7, 0, ""});
  for (std::size_t n = input.byte() % 6; n > 0; --n) {
    ds::JournalHead head;
    head.number = written.size();
    head.boot = boots[input.byte() % 3];
    head.kind = input.byte();
    if (input.byte() % 2 == 1) head.synced = bytes.size();
    const std::string body(input.below(600), static_cast<char>(head.kind));
    begins.push_back(bytes.size());
    written.emplace_back(head.kind, body);
    ds::append_journal_record(bytes, head, body, 7, bytes.size());
  }
  return bytes;
}

// Flips, losses at the end, zeros as a disk leaves them, and pieces of the file elsewhere in it.
void alter(Input& input, std::string& bytes, const std::vector<std::size_t>& begins) {
  for (std::size_t n = input.byte() % 4; n > 0 && !bytes.empty(); --n) {
    switch (input.byte() % 6) {
      case 0: {
        char& byte = bytes[input.below(bytes.size())];
        byte = static_cast<char>(byte ^ (1 << input.byte() % 8));
        break;
      }
      case 1: bytes.resize(input.below(bytes.size() + 1)); break;
      case 2: {
        const std::size_t at = input.below(bytes.size());
        const std::size_t size = std::min(bytes.size() - at, input.below(1000));
        bytes.replace(at, size, std::string(size, '\0'));
        break;
      }
      case 3: {
        const std::size_t from = input.below(bytes.size());
        const std::string piece = bytes.substr(from, input.below(1000));
        bytes.insert(input.below(bytes.size() + 1), piece);
        break;
      }
      case 4:  // a whole record twice
        if (!begins.empty()) {
          const std::size_t record = input.below(begins.size());
          if (begins[record] < bytes.size()) bytes += bytes.substr(begins[record]);
        }
        break;
      default: bytes.append(input.below(100), static_cast<char>(input.byte())); break;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view raw(reinterpret_cast<const char*>(data), size);
  try_file(std::string(raw), nullptr);
  Input input{raw};
  Written written;
  std::vector<std::size_t> begins;
  std::string bytes = describe(input, written, begins);
  alter(input, bytes, begins);
  try_file(bytes, &written);
  return 0;
}
