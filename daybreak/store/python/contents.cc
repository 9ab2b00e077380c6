// The content store in daybreak._core.store; daybreak/store/contents.py makes arrays and tables of its bytes.
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
#include "daybreak/store/store.h"

namespace nb = nanobind;
namespace base = daybreak::base;
namespace ds = daybreak::store;

namespace {

using Bytes = nb::ndarray<const std::uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using WritableBytes = nb::ndarray<std::uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

ds::Hash id_of(const std::string& hex) {
  ds::Hash id;
  if (!daybreak::crypto::from_hex(hex, id)) {
    base::raise(
        base::Error(base::Code::kInvalidArgument,
                    fmt::format("'{}' is no artifact id: 64 lower-case hexadecimal digits", hex.substr(0, 80))));
  }
  return id;
}

std::string hex_of(const ds::Hash& id) {
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

StoredTuple put(ds::Store& store, ds::Source& source, const std::string& kind, const std::string& name,
                const std::string& meta, const std::optional<std::string>& parent, bool sniff) {
  ds::PutOptions options{kind, name, meta, std::nullopt, sniff};
  if (parent) options.parent = id_of(*parent);
  const ds::Stored stored = unlocked([&] { return store.put(source, options); });
  return {hex_of(stored.id), stored.kind, stored.size_bytes, stored.stored_bytes};
}

nb::dict info(ds::Store& store, const std::string& id) {
  const ds::Hash hash = id_of(id);
  const ds::ObjectEntry object = unlocked([&] { return store.info(hash); });
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
  for (const ds::StoredTensor& tensor : object.tensors) {
    tensors.append(
        nb::make_tuple(tensor.name, tensor.dtype, nb::tuple(nb::cast(tensor.shape)), tensor.offset, tensor.size));
  }
  result["tensors"] = tensors;
  return result;
}

nb::dict diff(ds::Store& store, const std::string& a, const std::string& b) {
  const ds::Hash first = id_of(a), second = id_of(b);
  const ds::ObjectDiff found = unlocked([&] { return store.diff(first, second); });
  nb::dict result;
  result["equal"] = found.equal;
  nb::list tensors, ranges;
  for (const ds::TensorDiff& t : found.tensors) tensors.append(nb::make_tuple(t.name, t.change, t.max_abs, t.elements));
  for (const ds::RangeDiff& r : found.ranges) ranges.append(nb::make_tuple(r.a_begin, r.a_end, r.b_begin, r.b_end));
  result["tensors"] = tensors;
  result["ranges"] = ranges;
  return result;
}

nb::dict verify(ds::Store& store) {
  const ds::VerifyReport report = unlocked([&] { return store.verify(); });
  nb::dict result;
  result["objects"] = report.objects;
  result["blocks"] = report.blocks;
  result["bytes"] = report.bytes;
  nb::list damage;
  for (const ds::Damage& d : report.damage) {
    std::vector<std::string> ids;
    ids.reserve(d.objects.size());
    for (const ds::Hash& id : d.objects) ids.push_back(hex_of(id));
    damage.append(nb::make_tuple(d.file, d.offset, d.what, ids));
  }
  result["damage"] = damage;
  return result;
}

// `keep` runs Python with the store locked: what it raises goes through, and nothing is removed.
nb::dict gc(ds::Store& store, const nb::callable& keep) {
  std::exception_ptr raised;
  const auto kept = [&]() -> base::Result<std::vector<ds::Hash>> {
    nb::gil_scoped_acquire acquire;
    try {
      std::vector<ds::Hash> ids;
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
  const ds::GcReport report = base::value_or_raise(std::move(result));
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

nb::dict stats(ds::Store& store) {
  const ds::StoreStats s = unlocked([&] { return store.stats(); });
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

void bind_contents(nb::module_& m) {
  nb::class_<ds::Store>(m, "Store", "A content store in a directory; see daybreak.store.Store.")
      .def_static(
          "open",
          [](const std::filesystem::path& path, std::size_t threads, double pin_grace_s) {
            ds::StoreOptions options;
            options.threads = threads;
            options.pin_grace_ns = static_cast<std::int64_t>(pin_grace_s * 1e9);
            return unlocked([&] { return ds::Store::open(path.native(), options); });
          },
          nb::arg("path"), nb::arg("threads") = 2, nb::arg("pin_grace_s") = 3600.0)
      .def(
          "put_bytes",
          [](ds::Store& self, const Bytes& bytes, const std::string& kind, const std::string& name,
             const std::string& meta, const std::optional<std::string>& parent, bool sniff) {
            const auto source = ds::memory_source(std::as_bytes(std::span(bytes.data(), bytes.size())));
            return put(self, *source, kind, name, meta, parent, sniff);
          },
          nb::arg("data"), nb::arg("kind"), nb::arg("name"), nb::arg("meta"), nb::arg("parent").none(),
          nb::arg("sniff"), "(id, kind, size, stored bytes)")
      .def(
          "put_file",
          [](ds::Store& self, const std::filesystem::path& path, const std::string& kind, const std::string& name,
             const std::string& meta, const std::optional<std::string>& parent, bool sniff) {
            const auto source = unlocked([&] { return ds::file_source(path.native()); });
            return put(self, *source, kind, name, meta, parent, sniff);
          },
          nb::arg("path"), nb::arg("kind"), nb::arg("name"), nb::arg("meta"), nb::arg("parent").none(),
          nb::arg("sniff"), "(id, kind, size, stored bytes)")
      .def(
          "release",
          [](ds::Store& self, const std::string& id) {
            const ds::Hash hash = id_of(id);
            unlocked([&] { return self.release(hash); });
          },
          nb::arg("id"))
      .def("info", &info, nb::arg("id"))
      .def("objects",
           [](ds::Store& self) {
             std::vector<std::string> ids;
             for (const ds::Hash& id : unlocked([&] { return self.objects(); })) ids.push_back(hex_of(id));
             return ids;
           })
      .def(
          "read_into",
          [](ds::Store& self, const std::string& id, std::uint64_t offset, const WritableBytes& out) {
            const auto span = std::as_writable_bytes(std::span(out.data(), out.size()));
            const ds::Hash hash = id_of(id);
            unlocked([&] { return self.read(hash, offset, span); });
          },
          nb::arg("id"), nb::arg("offset"), nb::arg("out"), "Fills `out` from byte `offset` on.")
      .def(
          "write_to",
          [](ds::Store& self, const std::string& id, const std::filesystem::path& path) {
            const ds::Hash hash = id_of(id);
            unlocked([&] { return self.write_to(hash, path.native()); });
          },
          nb::arg("id"), nb::arg("path"), "Writes it whole or not at all.")
      .def("diff", &diff, nb::arg("a"), nb::arg("b"))
      .def("verify", &verify)
      .def("gc", &gc, nb::arg("keep"))
      .def("stats", &stats)
      .def_prop_ro("path", [](const ds::Store& self) { return std::filesystem::path(self.path()); });
}
