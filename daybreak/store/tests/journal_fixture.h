// Journals in temporary folders.
#pragma once

#include <unistd.h>

#include <string>
#include <string_view>
#include <vector>

#include "daybreak/store/journal.h"
#include "daybreak/store/tests/fixture.h"

namespace daybreak::store {

inline JournalOptions trials(base::Env* env = &base::Env::real()) {
  return {.application = "test.trials", .lock_timeout_ns = 20'000'000'000, .env = env};
}

inline std::unique_ptr<Journal> open_journal(const std::string& path, const JournalOptions& options = trials()) {
  auto journal = Journal::open(path, options);
  if (!journal) throw std::runtime_error(journal.error().to_string());  // fails the test
  return *std::move(journal);
}

inline std::unique_ptr<JournalReader> open_reader(const std::string& path, const JournalOptions& options = trials()) {
  auto reader = JournalReader::open(path, options);
  if (!reader) throw std::runtime_error(reader.error().to_string());
  return *std::move(reader);
}

inline std::uint64_t append_record(Journal& journal, std::string_view body,
                                   Durability durability = Durability::kWritten, std::uint32_t kind = 0) {
  const auto number = journal.append(body, kind, durability);
  if (!number) throw std::runtime_error(number.error().to_string());
  return number->value_or(UINT64_MAX);
}

struct AllRead {
  std::vector<std::string> bodies;
  std::vector<std::uint64_t> numbers;
  std::string error;  // that came after them
  base::Code code{};
  bool restarted = false;
};
// To the end for now, or to an error.
inline AllRead read_all_of(JournalReader& reader) {
  AllRead all;
  while (true) {
    auto batch = reader.read(1000);
    if (!batch) {
      all.error = batch.error().to_string();
      all.code = batch.error().code();
      return all;
    }
    all.restarted |= batch->restarted;
    if (batch->records.empty()) return all;
    for (JournalRecord& record : batch->records) {
      all.bodies.push_back(std::move(record.body));
      all.numbers.push_back(record.number);
    }
  }
}
inline AllRead read_all_of(const std::string& path) {
  return read_all_of(*open_reader(path));
}

inline std::string file_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
inline void write_file(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// The real one, with a disk that is slow, full or broken.
class DiskEnv : public ForwardingEnv {
 public:
  std::int64_t sync_takes_ns = 0;
  std::size_t free_bytes = SIZE_MAX;  // appends write what fits
  bool sync_fails = false, directory_sync_fails = false;

  OpenedFile create_file(const std::string& path) override { return wrapped(real().create_file(path)); }
  OpenedFile append_file(const std::string& path) override { return wrapped(real().append_file(path)); }
  base::Status sync_directory(const std::string& path) override {
    if (directory_sync_fails) return base::fail(base::Code::kUnknown, "the disk does not answer");
    return real().sync_directory(path);
  }

 private:
  class File : public base::WritableFile {
   public:
    File(DiskEnv& disk, std::unique_ptr<base::WritableFile> file) : disk_(disk), file_(std::move(file)) {}
    base::Status append(std::string_view bytes) override {
      const std::size_t fits = std::min(bytes.size(), disk_.free_bytes);
      if (disk_.free_bytes != SIZE_MAX) disk_.free_bytes -= fits;
      DAYBREAK_TRY(file_->append(bytes.substr(0, fits)));
      if (fits < bytes.size()) return base::fail(base::Code::kResourceExhausted, "the disk is full");
      return {};
    }
    base::Status sync() override {
      if (disk_.sync_fails) return base::fail(base::Code::kUnknown, "the disk does not answer");
      if (disk_.sync_takes_ns > 0) real().sleep_ns(disk_.sync_takes_ns);
      return file_->sync();
    }
    base::Status close() override { return file_->close(); }

   private:
    DiskEnv& disk_;
    std::unique_ptr<base::WritableFile> file_;
  };

  OpenedFile wrapped(OpenedFile file) {
    if (!file) return file;
    return std::make_unique<File>(*this, *std::move(file));
  }
};

}  // namespace daybreak::store
