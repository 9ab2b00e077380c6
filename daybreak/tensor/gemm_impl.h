// The product, written once over the vector type V (tensor/simd/vector.h). Everything is in an anonymous namespace,
// because each including file, gemm_<level>.cc, is compiled for another instruction level.

#include <cstddef>
#include <cstring>

#include "daybreak/tensor/gemm.h"
#include "daybreak/tensor/simd/product.h"

namespace daybreak::tensor {
namespace {

using simd::kPanel;
using simd::kPanelDepth;
using simd::V;

// The left operand's rows that are multiplied by a panel before the next is packed: with kPanelDepth columns, half of a
// 512 KiB L2.
constexpr int kBlockRows = 256;
// Below so many rows a panel is read where it lies: packing would cost more than it spares.
constexpr int kPackFrom = 4 * V::kRows;

// `columns` of a panel's columns from b, whose element (p, j) is b[p * row + j * column]; zeros behind them.
inline void pack_panel(int depth, int columns, const float* b, std::ptrdiff_t row, std::ptrdiff_t column,
                       float* panel) {
  if (columns == kPanel && row == 1) return simd::pack_transposed(depth, b, column, panel);
  for (int p = 0; p < depth; ++p, panel += kPanel) {
    if (columns == kPanel) {  // column is 1: one stride is
      std::memcpy(panel, b + p * row, sizeof(float) * kPanel);
    } else {
      for (int j = 0; j < kPanel; ++j) panel[j] = j < columns ? b[p * row + j * column] : 0.0F;
    }
  }
}

// The last columns of c, fewer than a panel: a copy of them has room for what the tiles write beside.
inline void add_narrow_panel(int m, int depth, int columns, const ConstMatrix& a, const float* from, const float* panel,
                             float* c, std::ptrdiff_t ldc) {
  alignas(64) float edge[V::kRows * kPanel];
  simd::for_row_tiles(m, [&](int i, int height) {
    for (int r = 0; r < height; ++r) {
      for (int j = 0; j < kPanel; ++j) edge[r * kPanel + j] = j < columns ? c[(i + r) * ldc + j] : 0.0F;
    }
    simd::with_rows(height, [&]<int R>() {
      simd::panel_tile<R>(depth, from + i * a.row_stride, a.row_stride, a.column_stride, panel, kPanel, edge, kPanel);
    });
    for (int r = 0; r < height; ++r) {
      for (int j = 0; j < columns; ++j) c[(i + r) * ldc + j] = edge[r * kPanel + j];
    }
  });
}

void gemm_kernel_of_level(const ConstMatrix& a, const ConstMatrix& b, const Matrix& c) {
  const auto m = static_cast<int>(c.rows);
  const auto n = static_cast<int>(c.columns);
  const auto k = static_cast<int>(a.columns);
  // Both along the inner dimension, and that long: dot products need no copy of b.
  if (a.column_stride == 1 && b.row_stride == 1 && k >= 2 * static_cast<std::int64_t>(m)) {
    return simd::add_product_nt(m, n, k, a.data, a.row_stride, b.data, b.column_stride, c.data, c.row_stride);
  }
  alignas(64) float panel[kPanelDepth * kPanel];
  for (std::int64_t first = 0; first < k; first += kPanelDepth) {
    const auto depth = static_cast<int>(k - first < kPanelDepth ? k - first : kPanelDepth);
    for (std::int64_t top = 0; top < m; top += kBlockRows) {
      const auto height = static_cast<int>(m - top < kBlockRows ? m - top : kBlockRows);
      const float* from = a.data + top * a.row_stride + first * a.column_stride;
      for (std::int64_t left = 0; left < n; left += kPanel) {
        const auto columns = static_cast<int>(n - left < kPanel ? n - left : kPanel);
        const float* right = b.data + first * b.row_stride + left * b.column_stride;
        float* into = c.data + top * c.row_stride + left;
        if (columns < kPanel) {
          pack_panel(depth, columns, right, b.row_stride, b.column_stride, panel);
          add_narrow_panel(height, depth, columns, a, from, panel, into, c.row_stride);
        } else if (b.column_stride == 1 && height < kPackFrom) {
          simd::add_panel(height, depth, from, a.row_stride, a.column_stride, right, b.row_stride, into, c.row_stride);
        } else {
          pack_panel(depth, columns, right, b.row_stride, b.column_stride, panel);
          simd::add_panel(height, depth, from, a.row_stride, a.column_stride, panel, kPanel, into, c.row_stride);
        }
      }
    }
  }
}

}  // namespace
}  // namespace daybreak::tensor
