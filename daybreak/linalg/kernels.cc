#include "daybreak/linalg/kernels.h"

#include "daybreak/linalg/kernels_impl.h"
#include "daybreak/linalg/kernels_qr.h"

namespace daybreak::linalg {

namespace {

constexpr KernelInfo kTable[] = {
    {"copy", "w", 1, "lu1"},    {"fill", "w", 0, "1"},      {"gemm", "u", 2, "abc"},   {"herk", "u", 1, "au"},
    {"trsm", "u", 1, "acrlu1"}, {"potrf", "u", 0, ""},      {"lu_panel", "w*", 0, ""}, {"swap", "*", 1, "k"},
    {"geqrt", "wuw", 0, ""},    {"gemqrt", "u", 2, "a"},    {"tpqrt", "uuw", 0, ""},   {"tpmqrt", "uu", 2, "a"},
    {"qr_leaf", "ww", 1, ""},   {"qr_merge", "www", 2, ""}, {"r_leaf", "w", 1, ""},
};

std::size_t elements_of(const Block& b) {
  return static_cast<std::size_t>(b.rows) * static_cast<std::size_t>(b.cols);
}

std::size_t workspace_elements(Kernel kernel, std::span<const Block> blocks) {
  constexpr std::size_t kNb = kReflectorBlock;
  switch (kernel) {
    case Kernel::kGemm:
      return (blocks[1].conjugated ? elements_of(blocks[1]) : 0) + (blocks[2].conjugated ? elements_of(blocks[2]) : 0);
    case Kernel::kLuPanel: {
      std::size_t all = 0;
      for (const Block& b : blocks.subspan(1)) all += elements_of(b);
      return all;
    }
    case Kernel::kGeqrt:
    case Kernel::kTpqrt: return kNb * static_cast<std::size_t>(blocks[1].cols);
    case Kernel::kGemqrt:
    case Kernel::kTpmqrt: return kNb * static_cast<std::size_t>(blocks[0].cols);
    case Kernel::kQrLeaf: {
      const auto cols = static_cast<std::size_t>(blocks[1].cols);
      return cols * cols + elements_of(blocks[2]) + 2 * kNb * cols;
    }
    case Kernel::kRLeaf: {
      const auto cols = static_cast<std::size_t>(blocks[0].cols);
      return cols * cols + 2 * elements_of(blocks[1]) + 2 * kNb * cols;
    }
    case Kernel::kQrMerge: {
      const auto n = static_cast<std::size_t>(blocks[2].cols);
      return 4 * n * n + 2 * kNb * n;
    }
    default: return 0;
  }
}

template <typename T>
base::Result<Fault> run_typed(Kernels<T> kernels, Kernel kernel) {
  switch (kernel) {
    case Kernel::kCopy: return kernels.copy();
    case Kernel::kFill: return kernels.fill();
    case Kernel::kGemm: return kernels.gemm();
    case Kernel::kHerk: return kernels.herk();
    case Kernel::kTrsm: return kernels.trsm();
    case Kernel::kPotrf: return kernels.potrf();
    case Kernel::kLuPanel: return kernels.lu_panel();
    case Kernel::kSwap: return kernels.swap();
    case Kernel::kGeqrt: return kernels.geqrt();
    case Kernel::kGemqrt: return kernels.gemqrt();
    case Kernel::kTpqrt: return kernels.tpqrt();
    case Kernel::kTpmqrt: return kernels.tpmqrt();
    case Kernel::kQrLeaf: return kernels.qr_leaf();
    case Kernel::kQrMerge: return kernels.qr_merge();
    case Kernel::kRLeaf: return kernels.r_leaf();
  }
  return base::fail(base::Code::kInternal, "no kernel {}", static_cast<int>(kernel));
}

// The old values of targets that come from arguments of their own are copied in first; the kernel then sees them as
// changed in place.
template <typename T>
base::Result<Fault> run_with_sources(Kernels<T> kernels, Kernel kernel, std::span<const Block> blocks) {
  std::vector<Block> own(blocks.begin(), blocks.end());
  const std::string_view targets = kTable[static_cast<int>(kernel)].targets;
  std::size_t sources = 0;
  for (std::size_t t = 0; t < targets.size(); ++t) sources += (kernels.flags & (kFromSource << t)) != 0;
  std::size_t source = blocks.size() - sources;
  for (std::size_t t = 0; t < targets.size(); ++t) {
    if ((kernels.flags & (kFromSource << t)) == 0) continue;
    const Block pair[] = {blocks[t], blocks[source++]};
    Kernels<T> copying = kernels;
    copying.blocks = pair;
    copying.flags = 0;
    DAYBREAK_TRY(copying.copy());
    own[t].old = true;
  }
  own.resize(blocks.size() - sources);
  kernels.blocks = own;
  return run_typed(kernels, kernel);
}

template <typename T>
std::size_t first_not_finite(const T* x, std::size_t count) {
  using R = typename RealOf<T>::type;
  const R* numbers = reinterpret_cast<const R*>(x);
  constexpr std::size_t kParts = std::is_same_v<T, R> ? 1 : 2;  // real and imaginary
  count *= kParts;
  constexpr std::size_t kChunk = 4096;
  for (std::size_t at = 0; at < count; at += kChunk) {
    const std::size_t end = std::min(at + kChunk, count);
    R sum = 0;  // of zeros, unless one is NaN or infinite: 0 * x
    for (std::size_t k = at; k < end; ++k) sum += R{0} * numbers[k];
    if (sum == 0) continue;
    for (std::size_t k = at; k < end; ++k) {
      if (!std::isfinite(numbers[k])) return k / kParts;
    }
  }
  return SIZE_MAX;
}

}  // namespace

std::span<const KernelInfo> kernel_table() {
  return kTable;
}

std::size_t workspace_bytes(Kernel kernel, Scalar scalar, std::span<const Block> blocks) {
  return workspace_elements(kernel, blocks) * size_of(scalar);
}

double flops_of(Kernel kernel, std::int32_t flags, Scalar scalar, std::span<const Block> blocks) {
  const double m = blocks[0].rows;
  const double n = blocks[0].cols;
  const double factor = is_complex(scalar) ? 4 : 1;
  switch (kernel) {
    case Kernel::kGemm: {
      const bool swapped = blocks[1].transposed != ((flags & kTransA) != 0);
      return factor * 2 * m * n * (swapped ? blocks[1].rows : blocks[1].cols);
    }
    case Kernel::kHerk: return factor * m * n * ((flags & kTransA) != 0 ? blocks[1].rows : blocks[1].cols);
    case Kernel::kTrsm: return factor * m * n * ((flags & kRight) != 0 ? n : m);
    case Kernel::kPotrf: return factor * m * m * m / 3;
    case Kernel::kLuPanel: {
      double rows = 0;
      for (const Block& b : blocks.subspan(1)) rows += b.rows;
      const double cols = blocks[1].cols;
      return factor * cols * cols * std::max(rows - cols / 3, 0.0);
    }
    case Kernel::kGeqrt: {
      const double k = std::min(m, n);
      return factor * 2 * k * k * (std::max(m, n) - k / 3);
    }
    case Kernel::kGemqrt: return factor * 4 * m * n * std::min(blocks[1].rows, blocks[1].cols);
    case Kernel::kTpqrt: return factor * 2 * blocks[1].rows * n * n;
    case Kernel::kTpmqrt: return factor * 4 * static_cast<double>(blocks[2].rows) * blocks[2].cols * n;
    case Kernel::kQrLeaf: return factor * 4 * m * n * n;
    case Kernel::kRLeaf: return factor * 3 * static_cast<double>(elements_of(blocks[1])) * n;
    case Kernel::kQrMerge: return factor * 20 * n * n * n / 3;
    default: return 0;
  }
}

base::Result<Fault> run_kernel(const Blas& blas, Kernel kernel, Scalar scalar, std::int32_t flags, double alpha,
                               std::span<const Block> blocks, std::span<std::byte> workspace) {
  return with_type(scalar, [&](auto type) -> base::Result<Fault> {
    using T = decltype(type);
    Kernels<T> kernels{blas.routines<T>(), flags, alpha, blocks, workspace.data()};
    if (flags >= kFromSource) return run_with_sources(kernels, kernel, blocks);
    return run_typed(kernels, kernel);
  });
}

Fault find_not_finite(Scalar scalar, const Block& block) {
  const std::size_t at = with_type(scalar, [&](auto type) {
    using T = decltype(type);
    return first_not_finite(reinterpret_cast<const T*>(block.data), elements_of(block));
  });
  if (at == SIZE_MAX) return {};
  const auto rows = static_cast<std::size_t>(block.rows);
  auto row = block.row0 + static_cast<std::int64_t>(at % rows);
  auto col = block.col0 + static_cast<std::int64_t>(at / rows);
  if (block.transposed) std::swap(row, col);
  return {Fault::kNotFinite, row, col};
}

}  // namespace daybreak::linalg
