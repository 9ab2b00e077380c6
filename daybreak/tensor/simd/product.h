// Matrix products over the vector type V. What has an epilogue of its own (a bias, an activation) is made of multiply()
// and the tilings below; what has none calls add_product_nt() or, for any shape and orientation, tensor/gemm.h.
//
// The tiles follow the usual register blocking (Goto and van de Geijn 2008): R rows x 2 vectors of accumulators, one
// broadcast and two loads feeding 2 R fused multiply-adds per step of the inner dimension.
#pragma once

#include <cstddef>

#include "daybreak/tensor/simd/vector.h"

namespace daybreak::tensor::simd {
namespace {

constexpr int kTile = 2 * V::kLanes;

// c[r][j] += sum_k a[r * row + k * step] * x[k * ldx + j * kLanes]
// Ahead: rows of a to fetch in advance, where a row is a cache line of its own.
template <int R, int C, int Ahead = 0>
[[gnu::always_inline]] inline void multiply(const float* a, std::ptrdiff_t row, std::ptrdiff_t step, const float* x,
                                            std::ptrdiff_t ldx, int depth, V (&c)[R][C]) {
  for (int k = 0; k < depth; ++k, a += step, x += ldx) {
    if constexpr (Ahead > 0) __builtin_prefetch(a + Ahead * step);
    V b[C];
#pragma GCC unroll 2
    for (int j = 0; j < C; ++j) b[j] = V::load(x + j * V::kLanes);
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      const V s = V::set(a[r * row]);
#pragma GCC unroll 2
      for (int j = 0; j < C; ++j) c[r][j] = fma(s, b[j], c[r][j]);
    }
  }
}

// Calls f.template operator()<R>() for 1 <= rows = R <= kRows.
template <int R = V::kRows, typename F>
[[gnu::always_inline]] inline void with_rows(int rows, F&& f) {
  if constexpr (R >= 1) {
    if (rows == R) {
      f.template operator()<R>();
    } else {
      with_rows<R - 1>(rows, f);
    }
  }
}

// Splits `n` rows into tiles of kRows, the last two of equal height when that avoids a thin one (a tile under 4 rows is
// bound by latency, not by arithmetic).
template <typename F>
[[gnu::always_inline]] inline void for_row_tiles(int n, F&& f) {
  int i = 0;
  while (i < n) {
    const int left = n - i;
    int rows = left;
    if (left > V::kRows) rows = left < 2 * V::kRows ? (left + 1) / 2 : V::kRows;
    f(i, rows);
    i += rows;
  }
}

// ---- c[m][n] += a[m][k] b[n][k]: both operands lie along the inner dimension

// R x C dot products; C is 4 but at the right edge.
template <int R, int C>
void dot_tile(int k, const float* a, std::ptrdiff_t lda, const float* b, std::ptrdiff_t ldb, float* c,
              std::ptrdiff_t ldc) {
  V sums[R][C];
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int j = 0; j < C; ++j) sums[r][j] = V::set(0.0F);
  }
  const int whole = k - k % V::kLanes;
  for (int i = 0; i < whole; i += V::kLanes) {
    V x[C];
#pragma GCC unroll 4
    for (int j = 0; j < C; ++j) x[j] = V::load(b + j * ldb + i);
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      const V s = V::load(a + r * lda + i);
#pragma GCC unroll 4
      for (int j = 0; j < C; ++j) sums[r][j] = fma(s, x[j], sums[r][j]);
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
    if constexpr (C == 4) {
      add_sums4(sums[r][0], sums[r][1], sums[r][2], sums[r][3], c + r * ldc);
    } else {
#pragma GCC unroll 4
      for (int j = 0; j < C; ++j) c[r * ldc + j] += sum(sums[r][j]);
    }
  }
  for (int i = whole; i < k; ++i) {
    for (int r = 0; r < R; ++r) {
      for (int j = 0; j < C; ++j) c[r * ldc + j] += a[r * lda + i] * b[j * ldb + i];
    }
  }
}

template <int R>
void dot_row(int n, int k, const float* a, std::ptrdiff_t lda, const float* b, std::ptrdiff_t ldb, float* c,
             std::ptrdiff_t ldc) {
  int j = 0;
  for (; j + 4 <= n; j += 4) dot_tile<R, 4>(k, a, lda, b + j * ldb, ldb, c + j, ldc);
  for (; j < n; ++j) dot_tile<R, 1>(k, a, lda, b + j * ldb, ldb, c + j, ldc);
}

// A panel: kPanel columns of the right operand and at most kPanelDepth of its rows, [depth][kPanel], shared by all rows
// of the left operand. Where the operand lies the other way it is transposed once on the way in, so that no sum across
// lanes is needed at the end of a tile.
constexpr int kPanel = kTile < 16 ? 16 : kTile;
constexpr int kPanelDepth = 256;

// panel[p][j] = b[j * ldb + p]
inline void pack_transposed(int depth, const float* b, std::ptrdiff_t ldb, float* panel) {
  int p = 0;
  for (; p + 8 <= depth; p += 8) {
    for (int j = 0; j < kPanel; j += 8) transpose8(b + j * ldb + p, ldb, panel + p * kPanel + j, kPanel);
  }
  for (; p < depth; ++p) {
    for (int j = 0; j < kPanel; ++j) panel[p * kPanel + j] = b[j * ldb + p];
  }
}

// c[r][j] += sum_p a[r * row + p * step] panel[p][j], R rows of a whole panel, whose rows are `ldp` apart.
template <int R>
void panel_tile(int depth, const float* a, std::ptrdiff_t row, std::ptrdiff_t step, const float* panel,
                std::ptrdiff_t ldp, float* c, std::ptrdiff_t ldc) {
  for (int column = 0; column < kPanel; column += kTile) {
    V sums[R][2];
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      sums[r][0] = V::load(c + r * ldc + column);
      sums[r][1] = V::load(c + r * ldc + column + V::kLanes);
    }
    multiply<R, 2>(a, row, step, panel + column, ldp, depth, sums);
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      sums[r][0].store(c + r * ldc + column);
      sums[r][1].store(c + r * ldc + column + V::kLanes);
    }
  }
}

// The same for m rows.
inline void add_panel(int m, int depth, const float* a, std::ptrdiff_t row, std::ptrdiff_t step, const float* panel,
                      std::ptrdiff_t ldp, float* c, std::ptrdiff_t ldc) {
  for_row_tiles(m, [&](int i, int height) {
    with_rows(height, [&]<int R>() { panel_tile<R>(depth, a + i * row, row, step, panel, ldp, c + i * ldc, ldc); });
  });
}

inline void add_transposed_panel(int m, int k, const float* a, std::ptrdiff_t lda, const float* b, std::ptrdiff_t ldb,
                                 float* c, std::ptrdiff_t ldc) {
  alignas(64) float panel[kPanelDepth * kPanel];
  for (int first = 0; first < k; first += kPanelDepth) {
    const int depth = k - first < kPanelDepth ? k - first : kPanelDepth;
    pack_transposed(depth, b + first, ldb, panel);
    add_panel(m, depth, a + first, lda, 1, panel, kPanel, c, ldc);
  }
}

// c[i][j] += sum_p a[i * lda + p] b[j * ldb + p]. c overlaps neither operand.
inline void add_product_nt(int m, int n, int k, const float* a, std::ptrdiff_t lda, const float* b, std::ptrdiff_t ldb,
                           float* c, std::ptrdiff_t ldc) {
  if (k == 0) return;
  // Rows of b that stay in half of a 32 KiB L1 while every row of a passes by.
  constexpr int kResidentFloats = 4096;
  int chunk = kResidentFloats / k & ~3;
  if (chunk < 4) chunk = 4;
  int j = 0;
  // Measured on Zen 3 (m of 64 to 256, k of 64 to 256): from here on the sums across lanes, which are paid once for each
  // row of a, cost more than a transpose, which is paid once for each step of k. 256 x 256 x 256: 75 to 92 GFLOP/s.
  if (k < 2 * m) {
    for (; j + kPanel <= n; j += kPanel) add_transposed_panel(m, k, a, lda, b + j * ldb, ldb, c + j, ldc);
  }
  for (; j < n; j += chunk) {
    const int width = n - j < chunk ? n - j : chunk;
    int i = 0;
    for (; i + V::kDotRows <= m; i += V::kDotRows) {
      dot_row<V::kDotRows>(width, k, a + i * lda, lda, b + j * ldb, ldb, c + i * ldc + j, ldc);
    }
    for (; i + 2 <= m; i += 2) dot_row<2>(width, k, a + i * lda, lda, b + j * ldb, ldb, c + i * ldc + j, ldc);
    for (; i < m; ++i) dot_row<1>(width, k, a + i * lda, lda, b + j * ldb, ldb, c + i * ldc + j, ldc);
  }
}

}  // namespace
}  // namespace daybreak::tensor::simd
