// What a call of a tile program does to its tiles, with BLAS and LAPACK; the table of kernels that programs may name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "daybreak/base/error.h"
#include "daybreak/linalg/blas.h"
#include "daybreak/linalg/scalar.h"

namespace daybreak::linalg {

enum class Kernel : std::uint8_t {
  kCopy,
  kFill,
  kGemm,
  kHerk,
  kTrsm,
  kPotrf,
  kLuPanel,
  kSwap,
  kGeqrt,
  kGemqrt,
  kTpqrt,
  kTpmqrt,
  kQrLeaf,
  kQrMerge,
  kRLeaf,
};

struct KernelInfo {
  std::string_view name;
  // Of each target in order: 'w' written, 'u' changed in place (its old value is an argument), '*' several tiles that
  // are changed in place.
  std::string_view targets;
  int reads;                 // further arguments
  std::string_view options;  // of the letters below, which flags it takes
};

// By the number of the kernel.
std::span<const KernelInfo> kernel_table();

// Flags of a call.
inline constexpr std::int32_t kTransA = 1;      // a: A', and A^H of complex numbers when kConjugate is set
inline constexpr std::int32_t kTransB = 2;      // b
inline constexpr std::int32_t kConjugate = 4;   // c: a transposed factor is conjugated
inline constexpr std::int32_t kRight = 8;       // r: the triangle stands on the right
inline constexpr std::int32_t kUpper = 16;      // u
inline constexpr std::int32_t kUnit = 32;       // 1: a diagonal of ones, or identity with fill
inline constexpr std::int32_t kLower = 64;      // l
inline constexpr std::int32_t kBackward = 128;  // k: swap undoes
// The old value of target t comes from an argument of its own, which follows the others.
inline constexpr std::int32_t kFromSource = 1 << 16;

// The rows of a block of reflectors' T: LAPACK's nb.
inline constexpr int kReflectorBlock = 32;

// A tile as a kernel sees it: column-major, as it is stored. Of a transposed view the element (i, j) is stored at (j, i).
struct Block {
  std::byte* data = nullptr;
  int rows = 0;
  int cols = 0;
  std::int64_t row0 = 0;  // of the matrix, as it is stored
  std::int64_t col0 = 0;
  bool transposed = false;
  bool conjugated = false;
  bool old = false;  // of a target: it has a value
};

// Why a matrix could not be factored; kNone: it could.
struct Fault {
  enum Kind : std::uint8_t { kNone, kNotPositiveDefinite, kSingular, kNotFinite } kind = kNone;
  std::int64_t row = 0;
  std::int64_t col = 0;
};

// Bytes of workspace that a kernel needs for these blocks.
std::size_t workspace_bytes(Kernel kernel, Scalar scalar, std::span<const Block> blocks);
// Floating-point operations, as LAPACK's notes count them; of complex numbers four times as many.
double flops_of(Kernel kernel, std::int32_t flags, Scalar scalar, std::span<const Block> blocks);
// Any thread. kInvalidArgument when the shapes of the blocks do not go together.
base::Result<Fault> run_kernel(const Blas& blas, Kernel kernel, Scalar scalar, std::int32_t flags, double alpha,
                               std::span<const Block> blocks, std::span<std::byte> workspace);
// The first element, in the order of the memory, that is NaN or infinite.
Fault find_not_finite(Scalar scalar, const Block& block);

}  // namespace daybreak::linalg
