// The journal in daybreak._core.store.
#include "daybreak/store/journal.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <utility>

#include "daybreak/base/bind.h"

namespace nb = nanobind;
namespace base = daybreak::base;
namespace ds = daybreak::store;

namespace {

template <typename F>
auto without_gil(F&& f) {
  auto result = [&] {
    nb::gil_scoped_release release;
    return f();
  }();
  return base::value_or_raise(std::move(result));
}

ds::JournalOptions options_of(const std::string& application, double lock_timeout_s) {
  ds::JournalOptions options;
  options.application = application;
  options.lock_timeout_ns = static_cast<std::int64_t>(lock_timeout_s * 1e9);
  return options;
}

ds::Durability durability_of(const std::string& name) {
  static constexpr std::array<std::pair<std::string_view, ds::Durability>, 3> kNames = {
      {{"buffered", ds::Durability::kBuffered},
       {"written", ds::Durability::kWritten},
       {"synced", ds::Durability::kSynced}}};
  for (const auto& [known, durability] : kNames) {
    if (name == known) return durability;
  }
  base::raise(base::Error(base::Code::kInvalidArgument,
                          fmt::format("durability='{}': 'buffered', 'written' or 'synced'", name.substr(0, 80))));
}

std::string_view view_of(const nb::bytes& bytes) {
  return {bytes.c_str(), bytes.size()};
}

// `write` runs Python while nobody may append: what it raises goes through, and the journal is as it was.
void rewrite(ds::Journal& journal, const nb::callable& write) {
  std::exception_ptr raised;
  const auto emit_all = [&](const ds::Journal::Emit& emit) -> base::Status {
    nb::gil_scoped_acquire acquire;
    try {
      for (nb::handle item : nb::object(write())) {
        std::pair<nb::bytes, std::uint32_t> record;
        if (!nb::try_cast(item, record)) throw nb::type_error("rewrite: pairs of bytes and an int (the kind) expected");
        const auto& [body, kind] = record;
        DAYBREAK_TRY(emit(view_of(body), kind));
      }
      return {};
    } catch (...) {
      raised = std::current_exception();
      return base::fail(base::Code::kCancelled, "the records could not be made");
    }
  };
  auto result = [&] {
    nb::gil_scoped_release release;
    return journal.rewrite(emit_all);
  }();
  if (raised) std::rethrow_exception(raised);
  base::value_or_raise(std::move(result));
}

}  // namespace

void bind_journal(nb::module_& m) {
  nb::class_<ds::JournalRecord>(m, "JournalRecord", "One record: its number in the journal, its kind, its bytes.")
      .def_ro("number", &ds::JournalRecord::number)
      .def_ro("kind", &ds::JournalRecord::kind)
      .def_prop_ro("body", [](const ds::JournalRecord& r) { return nb::bytes(r.body.data(), r.body.size()); })
      .def("__repr__", [](const ds::JournalRecord& r) {
        return fmt::format("JournalRecord(number={}, kind={}, {} bytes)", r.number, r.kind, r.body.size());
      });
  nb::class_<ds::JournalBatch>(
      m, "JournalBatch",
      "What JournalReader.read() found. restarted: the journal was rewritten, so forget what was "
      "read before: these are its first records.")
      .def_ro("restarted", &ds::JournalBatch::restarted)
      .def_ro("records", &ds::JournalBatch::records);
  nb::class_<ds::JournalStats>(
      m, "JournalStats",
      "What one pen has done: records appended, writes and syncs of its own, bytes of unfinished "
      "tails that it cut.")
      .def_ro("records", &ds::JournalStats::records)
      .def_ro("writes", &ds::JournalStats::writes)
      .def_ro("syncs", &ds::JournalStats::syncs)
      .def_ro("cut_bytes", &ds::JournalStats::cut_bytes);

  nb::class_<ds::Journal>(m, "Journal",
                          R"(A file that only grows, record by record, which many processes may write and read at once.

A death at whatever moment takes nothing that was promised. ``application`` says what the records are: a journal of another
one is refused. ``DataLossError`` says where the file is damaged; ``UnavailableError``: another process has held the lock for
``lock_timeout_s``. Any thread may use it; a child made by fork opens it again.)")
      .def(nb::new_([](const std::filesystem::path& path, const std::string& application, double lock_timeout_s) {
             const std::string given = base::given_path(path, "Journal");
             const ds::JournalOptions options = options_of(application, lock_timeout_s);
             return without_gil([&] { return ds::Journal::open(given, options); });
           }),
           nb::arg("path"), nb::arg("application") = "", nb::arg("lock_timeout_s") = 60.0)
      .def(
          "append",
          [](ds::Journal& self, const nb::bytes& body, std::uint32_t kind, const std::string& durability) {
            const ds::Durability wanted = durability_of(durability);
            const std::string_view bytes = view_of(body);
            return without_gil([&] { return self.append(bytes, kind, wanted); });
          },
          nb::arg("body"), nb::arg("kind") = 0, nb::arg("durability") = "written",
          R"(The record's number. What it has outlived on return: ``"buffered"`` nothing (and there is no number yet), ``"written"``
the death of this process, ``"synced"`` a loss of power. ``ResourceExhaustedError`` when the disk is full: the record is
nowhere then, and may be tried again.)")
      .def(
          "flush",
          [](ds::Journal& self, const std::string& durability) {
            const ds::Durability wanted = durability_of(durability);
            without_gil([&] { return self.flush(wanted); });
          },
          nb::arg("durability") = "written", "What is buffered becomes ``\"written\"`` or ``\"synced\"``.")
      .def("rewrite", &rewrite, nb::arg("write"),
           R"(Replaces the journal by the pairs (body, kind) that ``write()`` gives, in one step; the numbers go on.

Nobody appends meanwhile: a JournalReader that ``write`` opens sees all that there is. What ``write`` raises comes
through, and the journal is as it was.)")
      .def(
          "close", [](ds::Journal& self) { without_gil([&] { return self.close(); }); },
          "Writes what is buffered; no other call may follow.")
      .def("stats", &ds::Journal::stats)
      .def_prop_ro("path", [](const ds::Journal& self) { return std::filesystem::path(self.path()); })
      .def("__enter__", [](nb::object self) { return self; })
      .def(
          "__exit__",
          [](ds::Journal& self, const nb::object&, const nb::object&, const nb::object&) {
            without_gil([&] { return self.close(); });
          },
          nb::arg("kind").none(), nb::arg("value").none(), nb::arg("trace").none());

  nb::class_<ds::JournalReader>(m, "JournalReader", R"(Follows a journal while others write it. Needs no right to write.

``NotFoundError`` when there is none. One thread at a time.)")
      .def(nb::new_([](const std::filesystem::path& path, const std::string& application, double lock_timeout_s) {
             const std::string given = base::given_path(path, "JournalReader");
             const ds::JournalOptions options = options_of(application, lock_timeout_s);
             return without_gil([&] { return ds::JournalReader::open(given, options); });
           }),
           nb::arg("path"), nb::arg("application") = "", nb::arg("lock_timeout_s") = 60.0)
      .def(
          "read",
          [](ds::JournalReader& self, std::size_t max_bytes) {
            return without_gil([&] { return self.read(max_bytes); });
          },
          nb::arg("max_bytes") = 1u << 20,
          R"(What comes next: records until their bodies have ``max_bytes``, at least one; none when there are no more for now.

``DataLossError`` says where the journal is damaged, once all before that has been given.)");
}
