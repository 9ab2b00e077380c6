#include "daybreak/store/internal/journal_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <tuple>

#include "daybreak/base/failpoint.h"

namespace daybreak::store {

using base::Code;
using base::fail;
using base::fail_errno;
using base::Result;
using base::Status;

namespace {
constexpr std::size_t kEmittedBytes = 1u << 20;  // gathered before they are written
}

Result<base::Place> journal_place(const std::string& path) {
  DAYBREAK_ASSIGN(base::Place place, base::place_of(path));
  if (place.open_elsewhere || (place.kind != base::FileKind::kNothing && place.kind != base::FileKind::kRegular)) {
    return fail(Code::kInvalidArgument, "'{}' is no file, which a journal must be: name a file", path);
  }
  return place;
}

Result<JournalFile> JournalFile::open(const std::string& path, const std::string& application) {
  DAYBREAK_ASSIGN(RandomFile file, RandomFile::open(path));
  DAYBREAK_ASSIGN(const std::uint64_t size, file.size());
  std::string bytes(std::min<std::uint64_t>(size, kJournalHeaderBytes), '\0');
  DAYBREAK_TRY(file.read_at(0, bytes));
  auto header = parse_journal_header(bytes);
  if (!header) return std::unexpected(std::move(header).error().wrap(fmt::format("the journal '{}'", path)));
  if (header->application != application) {
    return fail(Code::kFailedPrecondition, "'{}' is a journal of '{}', not of '{}': name another file", path,
                header->application, application);
  }
  return JournalFile{std::move(file), *std::move(header)};
}

Result<bool> JournalFile::is_at(const std::string& path) const {
  struct stat there = {};
  if (::stat(path.c_str(), &there) != 0) return fail_errno(fmt::format("cannot look at the journal '{}'", path), errno);
  DAYBREAK_ASSIGN(const std::uint64_t ours, file.identity());
  return ours == there.st_ino;
}

Status replace_journal(const std::string& path, const JournalHeader& header,
                       const std::function<Status(const EmitRecord&)>& write, base::Env& env) {
  const std::string fresh = path + ".new";  // one name: what a death left of it goes with the next
  std::ignore = env.remove_file(fresh);
  DAYBREAK_ASSIGN(const auto file, env.create_file(fresh));
  const auto fill = [&]() -> Status {
    std::string bytes = encode_journal_header(header);
    std::uint64_t offset = 0, number = header.first;
    const auto flush = [&]() -> Status {
      DAYBREAK_TRY(file->append(bytes));
      offset += bytes.size();
      bytes.clear();
      return {};
    };
    DAYBREAK_TRY(write([&](std::string_view body, std::uint32_t kind) -> Status {
      if (body.size() > kMaxJournalRecordBytes) {
        return fail(Code::kInvalidArgument, "a record of {} bytes: at most {} are allowed", body.size(),
                    kMaxJournalRecordBytes);
      }
      JournalHead head;
      head.number = number++;
      head.boot = boot_number();
      head.kind = kind;
      append_journal_record(bytes, head, body, header.life, offset + bytes.size());
      return bytes.size() < kEmittedBytes ? Status{} : flush();
    }));
    DAYBREAK_TRY(flush());
    DAYBREAK_FAILPOINT("journal.new.written");
    DAYBREAK_TRY(file->sync());
    DAYBREAK_FAILPOINT("journal.new.synced");
    return env.rename_file(fresh, path);
  };
  if (Status filled = fill(); !filled) {
    std::ignore = env.remove_file(fresh);  // the first error is the one to tell
    return filled;
  }
  DAYBREAK_FAILPOINT("journal.new.named");
  return {};
}

}  // namespace daybreak::store
