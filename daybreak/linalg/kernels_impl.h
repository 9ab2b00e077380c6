// The kernels over one element type: kernels.cc has the table and the choice.
#pragma once

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "daybreak/linalg/kernels.h"

namespace daybreak::linalg {

template <typename T>
T conjugate_of(T x) {
  if constexpr (RealOf<T>::complex) return std::conj(x);
  return x;
}

template <typename T>
struct Kernels {
  using R = typename RealOf<T>::type;
  const Routines<T>& f;
  std::int32_t flags;
  double alpha;
  std::span<const Block> blocks;
  std::byte* workspace;

  static T* data(const Block& b) { return reinterpret_cast<T*>(b.data); }
  static std::size_t count(const Block& b) {
    return static_cast<std::size_t>(b.rows) * static_cast<std::size_t>(b.cols);
  }
  static int ld(const Block& b) { return std::max(b.rows, 1); }
  static char adjoint() { return RealOf<T>::complex ? 'C' : 'T'; }
  static base::Result<Fault> mismatch(const char* what) {
    return base::fail(base::Code::kInvalidArgument, "the tiles of a {} do not go together: its program is wrong", what);
  }

  // BLAS's letter for a factor that may be a view and may be asked transposed; 'R': conjugated alone, which no letter
  // means.
  char letter(const Block& b, bool trans) const {
    const bool t = b.transposed != trans;
    const bool c = RealOf<T>::complex && (b.conjugated != (trans && (flags & kConjugate) != 0));
    return t ? (c ? 'C' : 'T') : (c ? 'R' : 'N');
  }

  // The view's elements, column-major, in `out`.
  static void unfold(const Block& b, T* out) {
    const int rows = b.transposed ? b.cols : b.rows;
    const T* from = data(b);
    if (!b.transposed) {
      std::memcpy(out, from, count(b) * sizeof(T));
    } else {
      constexpr int kStep = 32;  // squares that stay in the first cache
      for (int i0 = 0; i0 < b.cols; i0 += kStep) {
        for (int j0 = 0; j0 < b.rows; j0 += kStep) {
          for (int i = i0; i < std::min(i0 + kStep, b.cols); ++i) {
            for (int j = j0; j < std::min(j0 + kStep, b.rows); ++j) {
              out[i + static_cast<std::size_t>(j) * rows] = from[j + static_cast<std::size_t>(i) * b.rows];
            }
          }
        }
      }
    }
    if (b.conjugated) {
      for (std::size_t k = 0; k < count(b); ++k) out[k] = conjugate_of(out[k]);
    }
  }

  // What is outside of the triangle becomes 0, the diagonal of a unit triangle 1.
  void shape_triangle(const Block& b) const {
    if ((flags & (kLower | kUpper | kUnit)) == 0) return;
    T* x = data(b);
    // The tile's own place decides: one above the diagonal has nothing of a lower triangle.
    for (int j = 0; j < b.cols; ++j) {
      for (int i = 0; i < b.rows; ++i) {
        const std::int64_t d = (b.row0 + i) - (b.col0 + j);
        T& element = x[i + static_cast<std::size_t>(j) * b.rows];
        if (((flags & kLower) != 0 && d < 0) || ((flags & kUpper) != 0 && d > 0)) element = T(0);
        if ((flags & kUnit) != 0 && d == 0) element = T(1);
      }
    }
  }

  base::Result<Fault> copy() {
    const Block& to = blocks[0];
    const Block& from = blocks[1];
    const int rows = from.transposed ? from.cols : from.rows;
    const int cols = from.transposed ? from.rows : from.cols;
    if (to.rows == rows && to.cols == cols) {
      unfold(from, data(to));
    } else if (to.rows <= rows && to.cols <= cols && !from.transposed && !from.conjugated) {
      for (int j = 0; j < to.cols; ++j) {
        std::memcpy(data(to) + static_cast<std::size_t>(j) * to.rows, data(from) + static_cast<std::size_t>(j) * rows,
                    static_cast<std::size_t>(to.rows) * sizeof(T));
      }
    } else {
      return mismatch("copy");
    }
    shape_triangle(to);
    return Fault{};
  }

  base::Result<Fault> fill() {
    const Block& to = blocks[0];
    std::fill_n(data(to), count(to), (flags & kUnit) != 0 ? T(0) : T(static_cast<R>(alpha)));
    if ((flags & kUnit) != 0) {
      const std::int64_t shift = to.col0 - to.row0;  // row - column on the diagonal
      for (int j = 0; j < to.cols; ++j) {
        const std::int64_t i = j + shift;
        if (i >= 0 && i < to.rows) data(to)[i + static_cast<std::int64_t>(j) * to.rows] = T(static_cast<R>(alpha));
      }
    }
    return Fault{};
  }

  base::Result<Fault> gemm() {
    const Block& c = blocks[0];
    char ta = letter(blocks[1], (flags & kTransA) != 0);
    char tb = letter(blocks[2], (flags & kTransB) != 0);
    const T* a = data(blocks[1]);
    const T* b = data(blocks[2]);
    int lda = ld(blocks[1]);
    int ldb = ld(blocks[2]);
    const bool swap_a = ta == 'T' || ta == 'C';
    const bool swap_b = tb == 'T' || tb == 'C';
    const int k = swap_a ? blocks[1].rows : blocks[1].cols;
    if (c.rows != (swap_a ? blocks[1].cols : blocks[1].rows) || k != (swap_b ? blocks[2].cols : blocks[2].rows) ||
        c.cols != (swap_b ? blocks[2].rows : blocks[2].cols)) {
      return mismatch("gemm");
    }
    T* spare = reinterpret_cast<T*>(workspace);
    for (auto [letter, pointer, block] : {std::tuple(&ta, &a, &blocks[1]), std::tuple(&tb, &b, &blocks[2])}) {
      if (*letter != 'R') continue;
      for (std::size_t at = 0; at < count(*block); ++at) spare[at] = conjugate_of((*pointer)[at]);
      *pointer = spare;
      spare += count(*block);
      *letter = 'N';
    }
    const T scale = static_cast<R>(alpha);
    const T beta = c.old ? T(1) : T(0);
    const int ldc = ld(c);
    f.gemm(&ta, &tb, &c.rows, &c.cols, &k, &scale, a, &lda, b, &ldb, &beta, data(c), &ldc, 1, 1);
    return Fault{};
  }

  base::Result<Fault> herk() {
    const Block& c = blocks[0];
    const Block& a = blocks[1];
    const bool trans = (flags & kTransA) != 0;
    if (c.rows != c.cols || c.rows != (trans ? a.cols : a.rows) || a.transposed || a.conjugated)
      return mismatch("herk");
    const R scale = static_cast<R>(alpha);
    const R beta = c.old ? R(1) : R(0);
    const char uplo = (flags & kUpper) != 0 ? 'U' : 'L';
    const char op = trans ? adjoint() : 'N';
    const int k = trans ? a.rows : a.cols;
    const int lda = ld(a);
    const int ldc = ld(c);
    if (!c.old) std::fill_n(data(c), count(c), T(0));
    f.herk(&uplo, &op, &c.rows, &k, &scale, data(a), &lda, &beta, data(c), &ldc, 1, 1);
    return Fault{};
  }

  base::Result<Fault> trsm() {
    const Block& b = blocks[0];
    const Block& a = blocks[1];
    const bool right = (flags & kRight) != 0;
    const int order = right ? b.cols : b.rows;
    if (a.rows < order || a.cols < order || a.transposed || a.conjugated) return mismatch("trsm");
    const char side = right ? 'R' : 'L';
    const char uplo = (flags & kUpper) != 0 ? 'U' : 'L';
    const char op = (flags & kTransA) == 0 ? 'N' : (flags & kConjugate) != 0 ? adjoint() : 'T';
    const char diag = (flags & kUnit) != 0 ? 'U' : 'N';
    const int lda = ld(a);
    const int ldb = ld(b);
    if (diag == 'N') {
      for (int i = 0; i < order; ++i) {
        if (data(a)[i + static_cast<std::size_t>(i) * lda] == T(0))
          return Fault{Fault::kSingular, a.row0 + i, a.col0 + i};
      }
    }
    const T scale = static_cast<R>(alpha);
    f.trsm(&side, &uplo, &op, &diag, &b.rows, &b.cols, &scale, data(a), &lda, data(b), &ldb, 1, 1, 1, 1);
    return Fault{};
  }

  base::Result<Fault> potrf() {
    const Block& a = blocks[0];
    if (a.rows != a.cols) return mismatch("potrf");
    int info = 0;
    const int lda = ld(a);
    f.potrf("L", &a.rows, data(a), &lda, &info, 1);
    if (info > 0) return Fault{Fault::kNotPositiveDefinite, a.row0 + info - 1, a.col0 + info - 1};
    for (int j = 1; j < a.cols; ++j) std::fill_n(data(a) + static_cast<std::size_t>(j) * a.rows, j, T(0));
    return Fault{};
  }

  // A column of tiles, partial pivoting over all of it. P holds for each column of the tile the row, counted from the
  // panel's first, that it was swapped with.
  base::Result<Fault> lu_panel() {
    const auto panel = blocks.subspan(1);
    const Block& p = blocks[0];
    int rows = 0;
    for (const Block& b : panel) rows += b.rows;
    const int cols = panel[0].cols;
    const int steps = std::min(rows, cols);
    if (p.rows * p.cols < steps) return mismatch("lu_panel");
    T* all = reinterpret_cast<T*>(workspace);
    gather(panel, rows, all, true);
    std::vector<int> pivots(static_cast<std::size_t>(steps));
    int info = 0;
    const int lda = std::max(rows, 1);
    f.getrf(&rows, &cols, all, &lda, pivots.data(), &info);
    gather(panel, rows, all, false);
    std::memset(p.data, 0, count(p) * sizeof(T));
    // What is no pivot swaps a row with itself.
    for (int k = 0; k < p.rows * p.cols; ++k) {
      const std::int32_t row = k < steps ? pivots[static_cast<std::size_t>(k)] - 1 : k;
      std::memcpy(p.data + static_cast<std::size_t>(k) * sizeof(T), &row, sizeof(row));
    }
    return Fault{};  // a zero on U's diagonal is a result: who divides by it finds it
  }

  static void gather(std::span<const Block> panel, int rows, T* all, bool in) {
    int row = 0;
    for (const Block& b : panel) {
      for (int j = 0; j < b.cols; ++j) {
        T* there = all + static_cast<std::size_t>(j) * rows + row;
        T* here = data(b) + static_cast<std::size_t>(j) * b.rows;
        std::memcpy(in ? there : here, in ? here : there, static_cast<std::size_t>(b.rows) * sizeof(T));
      }
      row += b.rows;
    }
  }

  base::Result<Fault> swap() {
    const auto panel = blocks.first(blocks.size() - 1);
    const Block& p = blocks.back();
    int rows = 0;
    for (const Block& b : panel) rows += b.rows;
    const int steps = std::min(rows, p.rows * p.cols);
    const int height = std::max(panel[0].rows, 1);  // of all tiles but the last
    const auto row_of = [&](int row) {
      const int tile = std::min(row / height, static_cast<int>(panel.size()) - 1);
      return std::pair(data(panel[static_cast<std::size_t>(tile)]) + (row - tile * height),
                       panel[static_cast<std::size_t>(tile)].rows);
    };
    const bool backward = (flags & kBackward) != 0;
    for (int n = 0; n < steps; ++n) {
      const int k = backward ? steps - 1 - n : n;
      std::int32_t other = 0;
      std::memcpy(&other, p.data + static_cast<std::size_t>(k) * sizeof(T), sizeof(other));
      if (other < 0 || other >= rows) return mismatch("swap");
      if (other == k) continue;
      auto [a, stride_a] = row_of(k);
      auto [b, stride_b] = row_of(other);
      for (int j = 0; j < panel[0].cols; ++j) {
        std::swap(a[static_cast<std::size_t>(j) * stride_a], b[static_cast<std::size_t>(j) * stride_b]);
      }
    }
    return Fault{};
  }

  // T has kReflectorBlock rows and a column a reflector.
  base::Result<Fault> geqrt() {
    const Block& d = blocks[0];
    const Block& a = blocks[1];
    const Block& t = blocks[2];
    const int steps = std::min(a.rows, a.cols);
    const int nb = std::min(kReflectorBlock, steps);
    if (d.rows != a.rows || d.cols != a.cols || t.rows < nb || t.cols < steps) return mismatch("geqrt");
    if (steps == 0) return Fault{};
    int info = 0;
    const int lda = ld(a);
    const int ldt = ld(t);
    std::memset(t.data, 0, count(t) * sizeof(T));
    f.geqrt(&a.rows, &a.cols, &nb, data(a), &lda, data(t), &ldt, reinterpret_cast<T*>(workspace), &info);
    for (int j = 0; j < a.cols; ++j) {
      T* r = data(a) + static_cast<std::size_t>(j) * a.rows;
      T* v = data(d) + static_cast<std::size_t>(j) * a.rows;
      std::fill_n(v, a.rows, T(0));
      if (j < steps) v[j] = T(1);
      for (int i = j + 1; i < a.rows; ++i) {
        v[i] = r[i];
        r[i] = T(0);
      }
    }
    return Fault{};
  }

  base::Result<Fault> gemqrt() {
    const Block& c = blocks[0];
    const Block& v = blocks[1];
    const Block& t = blocks[2];
    const int steps = std::min(v.rows, v.cols);
    const int nb = std::min(kReflectorBlock, steps);
    if (c.rows != v.rows) return mismatch("gemqrt");
    if (steps == 0 || c.cols == 0) return Fault{};
    const char op = (flags & kTransA) != 0 ? adjoint() : 'N';
    int info = 0;
    const int ldv = ld(v);
    const int ldt = ld(t);
    const int ldc = ld(c);
    f.gemqrt("L", &op, &c.rows, &c.cols, &steps, &nb, data(v), &ldv, data(t), &ldt, data(c), &ldc,
             reinterpret_cast<T*>(workspace), &info, 1, 1);
    return Fault{};
  }

  base::Result<Fault> tpqrt() {
    const Block& r = blocks[0];
    const Block& a = blocks[1];
    const Block& t = blocks[2];
    const int n = a.cols;
    const int nb = std::min(kReflectorBlock, n);
    if (r.rows < n || r.cols != n || t.rows < nb || t.cols < n) return mismatch("tpqrt");
    if (n == 0) return Fault{};
    const int l = 0;
    int info = 0;
    const int ldr = ld(r);
    const int lda = ld(a);
    const int ldt = ld(t);
    std::memset(t.data, 0, count(t) * sizeof(T));
    f.tpqrt(&a.rows, &n, &l, &nb, data(r), &ldr, data(a), &lda, data(t), &ldt, reinterpret_cast<T*>(workspace), &info);
    return Fault{};
  }

  base::Result<Fault> tpmqrt() {
    const Block& c1 = blocks[0];
    const Block& c2 = blocks[1];
    const Block& v = blocks[2];
    const Block& t = blocks[3];
    const int k = v.cols;
    const int nb = std::min(kReflectorBlock, k);
    if (c1.rows < k || c1.cols != c2.cols || c2.rows != v.rows) return mismatch("tpmqrt");
    if (k == 0 || c1.cols == 0) return Fault{};
    const char op = (flags & kTransA) != 0 ? adjoint() : 'N';
    const int l = 0;
    int info = 0;
    const int ldv = ld(v);
    const int ldt = ld(t);
    const int ld1 = ld(c1);
    const int ld2 = ld(c2);
    f.tpmqrt("L", &op, &c2.rows, &c2.cols, &k, &l, &nb, data(v), &ldv, data(t), &ldt, data(c1), &ld1, data(c2), &ld2,
             reinterpret_cast<T*>(workspace), &info, 1, 1);
    return Fault{};
  }

  base::Result<Fault> qr_leaf();
  base::Result<Fault> qr_merge();
  base::Result<Fault> r_leaf();
  void leaf(const Block& a, T* q, T* r, T* spare, bool want_q);
  bool cholesky_qr(T* q, int rows, int cols, T* r, T* gram, bool want_q);
  void householder_qr(T* q, int rows, int cols, T* r, T* spare);
};

}  // namespace daybreak::linalg
