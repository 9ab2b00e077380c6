// The content store of runs: artifacts by the SHA-256 of their bytes, kept as tensors (equal ones once, others as the
// difference to the parent version) and as content-defined chunks, in packs. docs/formats/content-store.md says what
// lies on the disk; README.md what it costs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "daybreak/base/env.h"
#include "daybreak/base/error.h"
#include "daybreak/store/format.h"

namespace daybreak::store {

// Bytes that come one after the other.
class Source {
 public:
  virtual ~Source() = default;
  // Fills `out` from the front; fewer bytes than asked only at the end, 0 after it.
  virtual base::Result<std::size_t> read(std::span<std::byte> out) = 0;
  // All of them, when they are known or in memory before the first read().
  virtual std::optional<std::uint64_t> size() const { return std::nullopt; }
  virtual std::optional<std::span<const std::byte>> memory() const { return std::nullopt; }
};

// Borrows the bytes.
std::unique_ptr<Source> memory_source(std::span<const std::byte> bytes);
// kNotFound when there is none.
base::Result<std::unique_ptr<Source>> file_source(const std::string& path);

using Sink = std::function<base::Status(std::span<const std::byte>)>;

struct StoreOptions {
  std::size_t threads = 2;                         // that hash and compress, the caller among them
  std::int64_t lock_timeout_ns = 600'000'000'000;  // for another process to be done
  std::int64_t pin_grace_ns = 3'600'000'000'000;   // a dead process's pins still protect for so long
  std::size_t cache_bytes = 32u << 20;             // of unpacked blocks
  base::Env* env = &base::Env::real();             // writes, renames, clock; reads and locks are the real ones
};

struct PutOptions {
  std::string kind = "bytes";  // what load() shall give back: the store only keeps it
  std::string name;            // for messages and listings
  std::string meta;            // kept beside it
  std::optional<Hash> parent;  // the version before; one that is not there (any more) is passed over
  bool sniff = true;           // false: plain bytes, whatever they look like
};

struct Stored {
  Hash id{};
  std::string kind;
  std::uint64_t size_bytes = 0;
  std::uint64_t stored_bytes = 0;  // that the packs grew by; 0 when it was there
};

struct Damage {
  std::string file;  // "packs/0123456789abcdef.pack", "manifest"
  std::uint64_t offset = 0;
  std::string what;
  std::vector<Hash> objects;  // that need it
};

struct VerifyReport {
  std::uint64_t objects = 0, blocks = 0, bytes = 0;  // looked at; bytes before packing
  std::vector<Damage> damage;                        // empty: all is well
};

struct GcReport {
  std::uint64_t objects_removed = 0, objects_kept = 0;
  std::uint64_t bytes_before = 0, bytes_after = 0;  // of all packs
  std::uint64_t packs_rewritten = 0, packs_removed = 0;
  bool manifest_healed = false;  // a part of it could not be read and was written anew from the packs
};

struct StoreStats {
  std::uint64_t objects = 0, blocks = 0, pieces = 0, packs = 0;
  std::uint64_t logical_bytes = 0;  // of all artifacts as they were put
  std::uint64_t raw_bytes = 0;      // of all blocks unpacked: what is left after equal pieces are kept once
  std::uint64_t stored_bytes = 0;   // of all blocks as they lie
  std::uint64_t pack_bytes = 0, manifest_bytes = 0;  // on the disk
  std::map<std::string, std::uint64_t> by_codec;     // stored bytes
  std::uint64_t bytes_read = 0, bytes_unpacked = 0;  // by this Store, since it was opened
};

struct TensorDiff {
  std::string name;
  std::string change;          // "equal", "changed", "added", "removed", "retyped" (dtype or shape differs)
  double max_abs = 0;          // of "changed"; NaN against a number counts as infinity
  std::uint64_t elements = 0;  // of "changed": how many differ
};

// [a_begin, a_end) of the one became [b_begin, b_end) of the other.
struct RangeDiff {
  std::uint64_t a_begin = 0, a_end = 0, b_begin = 0, b_end = 0;
};

struct ObjectDiff {
  bool equal = false;
  std::vector<TensorDiff> tensors;  // when both have tensors; by name
  std::vector<RangeDiff> ranges;    // of the bytes outside tensors; ascending in both
};

// A store in a directory. Any number of processes and threads may use one at once: puts run side by side in different
// processes (one after the other in one Store), reads take no lock, gc() waits for the puts and they for it. After
// fork() the child may go on using its copy, if no other thread was inside the Store then.
class Store {
 public:
  // Makes the directory when there is none.
  static base::Result<std::unique_ptr<Store>> open(const std::string& path, const StoreOptions& options = {});
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Keeps the bytes and pins the artifact: gc() leaves it until release(), or until pin_grace_ns after the death of
  // this process. When it returns, the artifact survives a loss of power; when it fails, nothing of it is visible.
  // In bounded memory: with a read_all() after it, 10 GiB took 110 MiB (the index and the cache among them).
  base::Result<Stored> put(Source& source, const PutOptions& options);
  // Undoes the pin of one put().
  base::Status release(const Hash& id);

  // kNotFound, or kDataLoss when it is in a part of the manifest that cannot be read.
  base::Result<ObjectEntry> info(const Hash& id);
  // Every id, ascending.
  base::Result<std::vector<Hash>> objects();
  // Bytes [offset, offset + out.size()); kOutOfRange beyond the end. Each piece touched is hashed; kDataLoss names the
  // artifact and the file. Unpacks only the blocks that hold the range, and their bases.
  base::Status read(const Hash& id, std::uint64_t offset, std::span<std::byte> out);
  // All of it, in parts of some MiB.
  base::Status read_all(const Hash& id, const Sink& sink);
  // All of it into a file, whole or not at all (mode 0600).
  base::Status write_to(const Hash& id, const std::string& path);

  base::Result<ObjectDiff> diff(const Hash& a, const Hash& b);
  // Unpacks and hashes every block and every artifact.
  base::Result<VerifyReport> verify();
  // Removes every artifact that is neither pinned nor in what `keep` returns. `keep` is called once no put is under way
  // and none can begin: what was put and recorded before then is seen by it. When it fails, nothing is removed.
  base::Result<GcReport> gc(const std::function<base::Result<std::vector<Hash>>()>& keep);
  base::Result<StoreStats> stats();

  const std::string& path() const;

  class Impl;  // in internal/: not for other rooms

 private:
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace daybreak::store
