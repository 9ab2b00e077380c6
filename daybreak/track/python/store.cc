// The content store in daybreak._core.track; daybreak/track/store.py makes arrays and tables of its bytes.
#include "daybreak/track/store/store.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <tuple>

#include "daybreak/base/bind.h"
#include "daybreak/base/file.h"

namespace nb = nanobind;
namespace base = daybreak::base;
namespace dt = daybreak::track;

namespace {

using Bytes = nb::ndarray<const std::uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using WritableBytes = nb::ndarray<std::uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

dt::Hash id_of(const std::string& hex) {
  dt::Hash id;
  if (!daybreak::crypto::from_hex(hex, id)) {
    base::raise(
        base::Error(base::Code::kInvalidArgument,
                    fmt::format("'{}' is no artifact id: 64 lower-case hexadecimal digits", hex.substr(0, 80))));
  }
  return id;
}

std::string hex_of(const dt::Hash& id) {
  return daybreak::crypto::to_hex(id);
}

template <typename F>
auto unlocked(F&& f) {
  auto result = [&] {
    nb::gil_scoped_release release;
    return f();
  }();
  return base::value_or_raise(std::move(result));
}

using StoredTuple = std::tuple<std::string, std::string, std::uint64_t, std::uint64_t>;

StoredTuple put(dt::Store& store, dt::Source& source, const std::string& kind, const std::string& name,
                const std::string& meta, const std::optional<std::string>& parent, bool sniff) {
  dt::PutOptions options{kind, name, meta, std::nullopt, sniff};
  if (parent) options.parent = id_of(*parent);
  const dt::Stored stored = unlocked([&] { return store.put(source, options); });
  return {hex_of(stored.id), stored.kind, stored.size_bytes, stored.stored_bytes};
}

nb::dict info(dt::Store& store, const std::string& id) {
  const dt::Hash hash = id_of(id);
  const dt::ObjectEntry object = unlocked([&] { return store.info(hash); });
  nb::dict result;
  result["id"] = hex_of(object.id);
  result["kind"] = object.kind;
  result["name"] = object.name;
  result["meta"] = object.meta;
  result["size_bytes"] = object.size;
  result["stored_bytes"] = object.stored_bytes;
  if (object.parent) {
    result["parent"] = hex_of(*object.parent);
  } else {
    result["parent"] = nb::none();
  }
  nb::list tensors;
  for (const dt::StoredTensor& tensor : object.tensors) {
    tensors.append(
        nb::make_tuple(tensor.name, tensor.dtype, nb::tuple(nb::cast(tensor.shape)), tensor.offset, tensor.size));
  }
  result["tensors"] = tensors;
  return result;
}

nb::dict diff(dt::Store& store, const std::string& a, const std::string& b) {
  const dt::Hash first = id_of(a), second = id_of(b);
  const dt::ObjectDiff found = unlocked([&] { return store.diff(first, second); });
  nb::dict result;
  result["equal"] = found.equal;
  nb::list tensors, ranges;
  for (const dt::TensorDiff& t : found.tensors) tensors.append(nb::make_tuple(t.name, t.change, t.max_abs, t.elements));
  for (const dt::RangeDiff& r : found.ranges) ranges.append(nb::make_tuple(r.a_begin, r.a_end, r.b_begin, r.b_end));
  result["tensors"] = tensors;
  result["ranges"] = ranges;
  return result;
}

nb::dict verify(dt::Store& store) {
  const dt::VerifyReport report = unlocked([&] { return store.verify(); });
  nb::dict result;
  result["objects"] = report.objects;
  result["blocks"] = report.blocks;
  result["bytes"] = report.bytes;
  nb::list damage;
  for (const dt::Damage& d : report.damage) {
    std::vector<std::string> ids;
    ids.reserve(d.objects.size());
    for (const dt::Hash& id : d.objects) ids.push_back(hex_of(id));
    damage.append(nb::make_tuple(d.file, d.offset, d.what, ids));
  }
  result["damage"] = damage;
  return result;
}

// `keep` runs Python with the store locked: what it raises goes through, and nothing is removed.
nb::dict gc(dt::Store& store, const nb::callable& keep) {
  std::exception_ptr raised;
  const auto kept = [&]() -> base::Result<std::vector<dt::Hash>> {
    nb::gil_scoped_acquire acquire;
    try {
      std::vector<dt::Hash> ids;
      for (nb::handle id : nb::object(keep())) ids.push_back(id_of(nb::cast<std::string>(id)));
      return ids;
    } catch (...) {
      raised = std::current_exception();
      return base::fail(base::Code::kCancelled, "the list of what is to be kept could not be made");
    }
  };
  auto result = [&] {
    nb::gil_scoped_release release;
    return store.gc(kept);
  }();
  if (raised) std::rethrow_exception(raised);
  const dt::GcReport report = base::value_or_raise(std::move(result));
  nb::dict out;
  out["objects_removed"] = report.objects_removed;
  out["objects_kept"] = report.objects_kept;
  out["bytes_before"] = report.bytes_before;
  out["bytes_after"] = report.bytes_after;
  out["packs_rewritten"] = report.packs_rewritten;
  out["packs_removed"] = report.packs_removed;
  out["manifest_healed"] = report.manifest_healed;
  return out;
}

nb::dict stats(dt::Store& store) {
  const dt::StoreStats s = unlocked([&] { return store.stats(); });
  nb::dict out;
  out["objects"] = s.objects;
  out["blocks"] = s.blocks;
  out["pieces"] = s.pieces;
  out["packs"] = s.packs;
  out["logical_bytes"] = s.logical_bytes;
  out["raw_bytes"] = s.raw_bytes;
  out["stored_bytes"] = s.stored_bytes;
  out["pack_bytes"] = s.pack_bytes;
  out["manifest_bytes"] = s.manifest_bytes;
  out["by_codec"] = s.by_codec;
  out["bytes_read"] = s.bytes_read;
  out["bytes_unpacked"] = s.bytes_unpacked;
  return out;
}

}  // namespace

void bind_store(nb::module_& m) {
  nb::class_<dt::Store>(m, "Store", "A content store in a directory; see daybreak.track.store.")
      .def_static(
          "open",
          [](const std::filesystem::path& path, std::size_t threads, double pin_grace_s) {
            dt::StoreOptions options;
            options.threads = threads;
            options.pin_grace_ns = static_cast<std::int64_t>(pin_grace_s * 1e9);
            return unlocked([&] { return dt::Store::open(path.native(), options); });
          },
          nb::arg("path"), nb::arg("threads") = 2, nb::arg("pin_grace_s") = 3600.0)
      .def(
          "put_bytes",
          [](dt::Store& self, const Bytes& bytes, const std::string& kind, const std::string& name,
             const std::string& meta, const std::optional<std::string>& parent, bool sniff) {
            const auto source = dt::memory_source(std::as_bytes(std::span(bytes.data(), bytes.size())));
            return put(self, *source, kind, name, meta, parent, sniff);
          },
          nb::arg("data"), nb::arg("kind"), nb::arg("name"), nb::arg("meta"), nb::arg("parent").none(),
          nb::arg("sniff"), "(id, kind, size, stored bytes)")
      .def(
          "put_file",
          [](dt::Store& self, const std::filesystem::path& path, const std::string& kind, const std::string& name,
             const std::string& meta, const std::optional<std::string>& parent, bool sniff) {
            const auto source = unlocked([&] { return dt::file_source(path.native()); });
            return put(self, *source, kind, name, meta, parent, sniff);
          },
          nb::arg("path"), nb::arg("kind"), nb::arg("name"), nb::arg("meta"), nb::arg("parent").none(),
          nb::arg("sniff"), "(id, kind, size, stored bytes)")
      .def(
          "release",
          [](dt::Store& self, const std::string& id) {
            const dt::Hash hash = id_of(id);
            unlocked([&] { return self.release(hash); });
          },
          nb::arg("id"))
      .def("info", &info, nb::arg("id"))
      .def("objects",
           [](dt::Store& self) {
             std::vector<std::string> ids;
             for (const dt::Hash& id : unlocked([&] { return self.objects(); })) ids.push_back(hex_of(id));
             return ids;
           })
      .def(
          "read_into",
          [](dt::Store& self, const std::string& id, std::uint64_t offset, const WritableBytes& out) {
            const auto span = std::as_writable_bytes(std::span(out.data(), out.size()));
            const dt::Hash hash = id_of(id);
            unlocked([&] { return self.read(hash, offset, span); });
          },
          nb::arg("id"), nb::arg("offset"), nb::arg("out"), "Fills `out` from byte `offset` on.")
      .def(
          "write_to",
          [](dt::Store& self, const std::string& id, const std::filesystem::path& path) {
            const dt::Hash hash = id_of(id);
            unlocked([&] { return self.write_to(hash, path.native()); });
          },
          nb::arg("id"), nb::arg("path"), "Writes it whole or not at all.")
      .def("diff", &diff, nb::arg("a"), nb::arg("b"))
      .def("verify", &verify)
      .def("gc", &gc, nb::arg("keep"))
      .def("stats", &stats)
      .def_prop_ro("path", [](const dt::Store& self) { return std::filesystem::path(self.path()); });
}
