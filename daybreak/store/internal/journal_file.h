// The file of a journal: opened, made, replaced.
#pragma once

#include <functional>
#include <string>

#include "daybreak/base/env.h"
#include "daybreak/base/file.h"
#include "daybreak/store/files.h"
#include "daybreak/store/journal_format.h"

namespace daybreak::store {

// Where the journal is, the links at the path's end followed. Refuses what is there and no file.
base::Result<base::Place> journal_place(const std::string& path);

struct JournalFile {
  RandomFile file;
  JournalHeader header;

  // kFailedPrecondition when it is a journal of another application.
  static base::Result<JournalFile> open(const std::string& path, const std::string& application);
  // Whether the name still leads to this file. kNotFound when it leads nowhere.
  base::Result<bool> is_at(const std::string& path) const;
};

using EmitRecord = std::function<base::Status(std::string_view body, std::uint32_t kind)>;

// Makes `path` a journal of what `write` emits, in one step, over whatever is there. Its bytes are on the disk when it
// returns, its name only when who opens it has synced the directory. The caller holds the append lock. When it fails,
// all is as before.
base::Status replace_journal(const std::string& path, const JournalHeader& header,
                             const std::function<base::Status(const EmitRecord&)>& write, base::Env& env);

}  // namespace daybreak::store
