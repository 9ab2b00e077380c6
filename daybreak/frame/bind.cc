// frame's part of daybreak._core: kernels over numpy's arrays. Nothing here looks at a Python object but at its memory.
#include "daybreak/base/bind.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "daybreak/base/machine.h"
#include "daybreak/base/pool.h"
#include "daybreak/frame/kernel/factorize.h"
#include "daybreak/frame/kernel/gather.h"
#include "daybreak/frame/kernel/group.h"
#include "daybreak/frame/kernel/sort.h"

namespace nb = nanobind;
namespace base = daybreak::base;
namespace frame = daybreak::frame;

namespace {

using Rows = nb::ndarray<nb::ro, nb::ndim<1>, nb::device::cpu>;
using Values = nb::ndarray<nb::ro, nb::ndim<2>, nb::device::cpu>;
using Results = nb::ndarray<nb::ndim<2>, nb::device::cpu>;
using Codes = nb::ndarray<std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Ids = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// How work is dealt out; for tests.
struct Settings {
  std::size_t threads = 0;  // 0: as many as there are processors for this process
  frame::Chunks chunks;
};
Settings settings;

base::Pool& pool() {
  static base::Pool* made = nullptr;
  static const std::size_t cores = base::this_machine().cores;
  const std::size_t wanted = settings.threads != 0 ? settings.threads : std::min(cores, base::kMaxPoolSize);
  if (made == nullptr || made->size() != wanted) {
    delete made;
    made = new base::Pool(wanted);
  }
  return *made;
}

template <typename Use>
auto with_type(nb::dlpack::dtype type, Use use) {
  using Code = nb::dlpack::dtype_code;
  const auto code = static_cast<Code>(type.code);
  if (code == Code::Int && type.bits == 8) return use(std::int8_t{});
  if (code == Code::Int && type.bits == 16) return use(std::int16_t{});
  if (code == Code::Int && type.bits == 32) return use(std::int32_t{});
  if (code == Code::Int && type.bits == 64) return use(std::int64_t{});
  if (code == Code::UInt && type.bits == 8) return use(std::uint8_t{});
  if (code == Code::UInt && type.bits == 16) return use(std::uint16_t{});
  if (code == Code::UInt && type.bits == 32) return use(std::uint32_t{});
  if (code == Code::UInt && type.bits == 64) return use(std::uint64_t{});
  if (code == Code::Float && type.bits == 32) return use(float{});
  if (code == Code::Float && type.bits == 64) return use(double{});
  throw nb::type_error("no kernel for this element type");
}

std::vector<std::int64_t> factorize(const Rows& values, bool sorted, const Codes& codes) {
  if (codes.shape(0) != values.shape(0)) throw nb::value_error("codes: one for each value expected");
  return with_type(values.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const frame::Column<T> column = {
        .data = static_cast<const T*>(values.data()), .step = values.stride(0), .size = values.shape(0)};
    const nb::gil_scoped_release release;
    return frame::factorize(pool(), column, sorted ? frame::Order::kByValue : frame::Order::kFirstSeen,
                            std::span(codes.data(), codes.shape(0)), settings.chunks);
  });
}

void count_groups(const Ids& ids, const Codes& counts) {
  const nb::gil_scoped_release release;
  frame::count_groups(pool(), std::span(ids.data(), ids.shape(0)), std::span(counts.data(), counts.shape(0)),
                      settings.chunks);
}

const std::map<std::string, frame::Aggregate, std::less<>> kAggregates = {
    {"sum", frame::Aggregate::kSum},      {"prod", frame::Aggregate::kProduct}, {"mean", frame::Aggregate::kMean},
    {"min", frame::Aggregate::kMin},      {"max", frame::Aggregate::kMax},      {"var", frame::Aggregate::kVariance},
    {"std", frame::Aggregate::kDeviation}};

template <typename T>
void aggregate_as(frame::Aggregate what, const Results& out, const Ids& ids, const Values& values,
                  std::int64_t min_count, std::int64_t ddof) {
  const std::size_t columns = values.shape(1);
  const auto* from = static_cast<const T*>(values.data());
  auto* to = static_cast<T*>(out.data());
  const nb::gil_scoped_release release;
  pool().for_each(columns, [&](std::size_t k) {
    const auto place = static_cast<std::ptrdiff_t>(k);
    const frame::Column<T> column = {
        .data = from + place * values.stride(1), .step = values.stride(0), .size = values.shape(0)};
    frame::aggregate(what, column, std::span(ids.data(), ids.shape(0)), out.shape(0), min_count, ddof,
                     to + place * out.stride(1), out.stride(0));
  });
}

void aggregate(const std::string& how, const Results& out, const Ids& ids, const Values& values, std::int64_t min_count,
               std::int64_t ddof) {
  const auto what = kAggregates.find(how);
  if (what == kAggregates.end()) throw nb::value_error(("no kernel for " + how).c_str());
  if (out.dtype() != values.dtype() || out.shape(1) != values.shape(1) || ids.shape(0) != values.shape(0)) {
    throw nb::value_error("out, ids and values do not belong together");
  }
  if (values.dtype() == nb::dtype<double>())
    return aggregate_as<double>(what->second, out, ids, values, min_count, ddof);
  if (values.dtype() == nb::dtype<float>()) return aggregate_as<float>(what->second, out, ids, values, min_count, ddof);
  if (what->second == frame::Aggregate::kSum || what->second == frame::Aggregate::kProduct ||
      what->second == frame::Aggregate::kMin || what->second == frame::Aggregate::kMax) {
    if (values.dtype() == nb::dtype<std::int64_t>()) {
      return aggregate_as<std::int64_t>(what->second, out, ids, values, min_count, ddof);
    }
    if (values.dtype() == nb::dtype<std::uint64_t>()) {
      return aggregate_as<std::uint64_t>(what->second, out, ids, values, min_count, ddof);
    }
  }
  throw nb::type_error("no kernel for this element type");
}

void argsort(const Rows& values, bool descending, bool nan_first, const Codes& rows) {
  if (rows.shape(0) != values.shape(0)) throw nb::value_error("rows: one for each value expected");
  with_type(values.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const frame::Column<T> column = {
        .data = static_cast<const T*>(values.data()), .step = values.stride(0), .size = values.shape(0)};
    const nb::gil_scoped_release release;
    frame::argsort(pool(), column, descending, nan_first, std::span(rows.data(), rows.shape(0)), settings.chunks);
  });
}

template <typename T>
void gather_as(const Values& values, std::span<const std::int64_t> rows, const Results& out) {
  for (std::size_t k = 0; k < values.shape(0); ++k) {
    const auto place = static_cast<std::ptrdiff_t>(k);
    const frame::Column<T> column = {.data = static_cast<const T*>(values.data()) + place * values.stride(0),
                                     .step = values.stride(1),
                                     .size = values.shape(1)};
    frame::gather(pool(), column, rows, static_cast<T*>(out.data()) + place * out.stride(0), settings.chunks);
  }
}

// False, and nothing done, when a number is none of a column.
bool gather(const Values& values, const Ids& ids, const Results& out) {
  const std::span rows(ids.data(), ids.shape(0));
  if (out.shape(0) != values.shape(0) || out.shape(1) != rows.size() || out.dtype().bits != values.dtype().bits ||
      (out.shape(1) > 1 && out.stride(1) != 1)) {
    throw nb::value_error("out, rows and values do not belong together");
  }
  const nb::gil_scoped_release release;
  if (!frame::all_within(pool(), rows, values.shape(1), settings.chunks)) return false;
  switch (values.dtype().bits) {
    case 8: gather_as<std::uint8_t>(values, rows, out); return true;
    case 16: gather_as<std::uint16_t>(values, rows, out); return true;
    case 32: gather_as<std::uint32_t>(values, rows, out); return true;
    case 64: gather_as<std::uint64_t>(values, rows, out); return true;
    default: return false;
  }
}

}  // namespace

void bind_wrapper(nb::module_& m);

void bind_frame(nb::module_& m) {
  bind_wrapper(m);
  m.def("factorize", factorize, nb::arg("values"), nb::arg("sorted"), nb::arg("codes"),
        "Fills codes (-1: NaN) and returns a row of each distinct value, in the order of codes.");
  m.def("count_groups", count_groups, nb::arg("ids"), nb::arg("counts"),
        "Adds to counts the rows of each id; those below 0 are none's.");
  m.def("aggregate", aggregate, nb::arg("how"), nb::arg("out"), nb::arg("ids"), nb::arg("values"), nb::arg("min_count"),
        nb::arg("ddof"), "Columns of values (rows, columns) by the ids of rows, into out (groups, columns).");
  m.def("argsort", argsort, nb::arg("values"), nb::arg("descending"), nb::arg("nan_first"), nb::arg("rows"),
        "Fills rows: which row comes first, second, ...; equal values stay in their order.");
  m.def("gather", gather, nb::arg("values"), nb::arg("rows"), nb::arg("out"),
        "Columns of values (columns, rows) by numbers of rows, into out. False, and nothing done, when one is none.");
  m.def(
      "deal",
      [](std::size_t threads, std::size_t rows) {
        if (threads > base::kMaxPoolSize || rows < 1) throw nb::value_error("threads: 0 to 1024, rows: 1 or more");
        settings = {.threads = threads, .chunks = {.rows = rows}};
      },
      nb::arg("threads"), nb::arg("rows"), "How many threads (0: all) and rows at a time kernels work with.");
}
