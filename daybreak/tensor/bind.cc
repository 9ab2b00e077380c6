// tensor's part of daybreak._core: the container file over bytes. daybreak/tensor/__init__.py makes arrays of them.
#include "daybreak/base/bind.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <tuple>

#include "daybreak/tensor/container.h"

namespace nb = nanobind;
namespace base = daybreak::base;
namespace dt = daybreak::tensor;

namespace {

using Bytes = nb::ndarray<const std::uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Named = std::tuple<std::string, std::string, std::vector<std::int64_t>, Bytes>;

nb::bytes write_tensors(const std::vector<Named>& tensors, const dt::Metadata& metadata) {
  std::vector<dt::TensorRef> refs;
  refs.reserve(tensors.size());
  for (const auto& [name, dtype_name, shape, data] : tensors) {
    const auto dtype = dt::dtype_of_safetensors_name(dtype_name);
    if (!dtype) {
      base::raise(
          base::Error(base::Code::kInvalidArgument,
                      fmt::format("tensor '{}' has dtype '{}', which the container does not hold", name, dtype_name)));
    }
    refs.push_back({name, *dtype, shape, std::as_bytes(std::span(data.data(), data.size()))});
  }
  const std::string bytes = base::value_or_raise(dt::write_container(refs, metadata));
  return nb::bytes(bytes.data(), bytes.size());
}

const dt::TensorRef& tensor_of(const dt::Container& container, const std::string& name) {
  const dt::TensorRef* tensor = container.find(name);
  if (tensor == nullptr) throw nb::key_error(name.c_str());
  return *tensor;
}

}  // namespace

void bind_tensor(nb::module_& m) {
  m.def("write_container", &write_tensors, nb::arg("tensors"), nb::arg("metadata"),
        "The bytes of a container that holds (name, safetensors dtype, shape, bytes) tensors.");
  nb::class_<dt::Container>(m, "Container", "A parsed container file; it owns its bytes.")
      .def_static(
          "parse",
          [](const nb::bytes& bytes) {
            return base::value_or_raise(dt::Container::parse(std::string(bytes.c_str(), bytes.size())));
          },
          nb::arg("bytes"), "Verifies all of the bytes: DataLossError when they are truncated or altered.")
      .def_prop_ro("metadata", &dt::Container::metadata)
      .def_prop_ro("names",
                   [](const dt::Container& self) {
                     std::vector<std::string> names;
                     for (const auto& tensor : self.tensors()) names.push_back(tensor.name);
                     return names;
                   })
      .def(
          "dtype",
          [](const dt::Container& self, const std::string& name) {
            return std::string(dt::safetensors_name_of(tensor_of(self, name).dtype));
          },
          nb::arg("name"), "The safetensors name of the tensor's dtype, such as 'F32'.")
      .def(
          "shape",
          [](const dt::Container& self, const std::string& name) {
            return nb::typed<nb::tuple, std::int64_t, nb::ellipsis>(nb::tuple(nb::cast(tensor_of(self, name).shape)));
          },
          nb::arg("name"))
      .def(
          "data",
          [](nb::handle_t<dt::Container> self, const std::string& name) {
            const auto data = tensor_of(nb::cast<const dt::Container&>(self), name).data;
            return nb::ndarray<nb::numpy, const std::uint8_t, nb::ndim<1>>(data.data(), {data.size()}, self);
          },
          nb::arg("name"), "The tensor's bytes, read-only and not copied; they keep the container alive.");
}
