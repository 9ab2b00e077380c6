// The journal: a file that only grows, record by record, which many processes write and many read at once, and of which
// a death at whatever moment takes nothing that was promised. docs/formats/journal.md says what lies on the disk.
//
//   DAYBREAK_ASSIGN(const auto journal, Journal::open("trials.journal", {.application = "tune.trials"}));
//   DAYBREAK_ASSIGN(const auto number, journal->append(body, kTrial, Durability::kSynced));
//
//   DAYBREAK_ASSIGN(const auto reader, JournalReader::open("trials.journal", {.application = "tune.trials"}));
//   DAYBREAK_ASSIGN(const JournalBatch batch, reader->read());  // and again: what has come since
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daybreak/base/env.h"
#include "daybreak/base/error.h"
#include "daybreak/store/journal_format.h"

namespace daybreak::store {

inline constexpr std::size_t kMaxJournalBufferBytes = 1u << 20;  // of kBuffered records before they are written

// What an append has outlived when it returns.
enum class Durability : std::uint8_t {
  kBuffered,  // nothing: it is in this process's memory until the next append of another kind, flush(), close(), or
              // until kMaxJournalBufferBytes of them have gathered
  kWritten,   // the death of this process: the kernel has it
  kSynced,    // a loss of power: the disk has it
};

struct JournalRecord {
  std::uint64_t number = 0;  // ascending by one, from 0 on; a rewritten journal goes on with the next
  std::uint32_t kind = 0;
  std::string body;
};

struct JournalOptions {
  std::string application = {};                   // what the records are: another journal is refused by its name
  std::int64_t lock_timeout_ns = 60'000'000'000;  // for another process to have appended, synced or rewritten
  base::Env* env = &base::Env::real();            // writes, syncs, renames, clock; reads and locks are the real ones
};

// What this handle has done.
struct JournalStats {
  std::uint64_t records = 0;    // appended
  std::uint64_t writes = 0;     // to the file; of one or more records each
  std::uint64_t syncs = 0;      // that it waited for itself; the other appends of kSynced were served by another's
  std::uint64_t cut_bytes = 0;  // of tails that a death or a loss of power left unfinished
};

// A pen. Any thread may call any function. In a child made by fork() every call is kFailedPrecondition: open it again
// there. Appends of all pens are ordered by the file; one sync serves all that were written before it began.
class Journal {
 public:
  // Makes the file when there is none (0600; beside it NAME.lock). kDataLoss when it is damaged: the message says
  // where; an unfinished tail is cut off, once nobody can be writing it. kFailedPrecondition for another application's
  // or version's journal, kUnavailable when another process holds the lock for lock_timeout_ns.
  static base::Result<std::unique_ptr<Journal>> open(const std::string& path, const JournalOptions& options = {});
  // As close(), whose error is logged.
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // The record's number; nothing for one that is only buffered. kInvalidArgument for a body of more than
  // kMaxJournalRecordBytes, kResourceExhausted when the disk is full: the record is then in no file and no buffer, and
  // an append may be tried again. With kSynced a failed sync is an error too, though the record may be there; after it
  // this pen writes nothing more.
  base::Result<std::optional<std::uint64_t>> append(std::string_view body, std::uint32_t kind = 0,
                                                    Durability durability = Durability::kWritten);
  // What is buffered becomes kWritten, or kSynced. Of any pen's records those that are there already are synced, too.
  base::Status flush(Durability durability = Durability::kWritten);

  using Emit = std::function<base::Status(std::string_view body, std::uint32_t kind)>;
  // Replaces the journal by what `write` emits, in one step, on the disk when this returns; the numbers go on. While
  // `write` runs nobody appends: a JournalReader that it opens sees all that is to be kept. Readers notice
  // (JournalBatch::restarted), other pens go on with the new file. When it fails, all is as before.
  base::Status rewrite(const std::function<base::Status(const Emit& emit)>& write);

  // flush(), and no further call.
  base::Status close();

  JournalStats stats() const;
  const std::string& path() const;

 private:
  class Impl;
  explicit Journal(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

struct JournalBatch {
  bool restarted = false;  // the journal was rewritten: forget what was read before, these are its first records
  std::vector<JournalRecord> records;  // none: there are no more for now
};

// A reader, which follows the journal while it is written. Needs no right to write. One thread at a time.
class JournalReader {
 public:
  // kNotFound when there is none; else as Journal::open, but nothing is cut: an unfinished tail is the end for now.
  static base::Result<std::unique_ptr<JournalReader>> open(const std::string& path, const JournalOptions& options = {});
  ~JournalReader();
  JournalReader(const JournalReader&) = delete;
  JournalReader& operator=(const JournalReader&) = delete;

  // What comes next: records until their bodies have max_bytes together, at least one. kDataLoss says where the journal
  // is damaged, once all before it has been given.
  base::Result<JournalBatch> read(std::size_t max_bytes = 1u << 20);

 private:
  class Impl;
  explicit JournalReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace daybreak::store
