// QR of a tall tile with Q itself: two rounds of Cholesky where the columns are far from dependent, reflectors elsewhere.
#pragma once

#include "daybreak/linalg/kernels_impl.h"

namespace daybreak::linalg {

// Q (rows x cols, over A) and R with a diagonal that is not negative; false, and A is spoilt, when the columns are too
// close to dependent. Two rounds leave |I - Q'Q| at the unit roundoff while cond(A)^2 eps is below one (Yamamoto et al.,
// ETNA 44, 2015); the first round's R tells whether it is, with margin.
template <typename T>
bool Kernels<T>::cholesky_qr(T* q, int rows, int cols, T* r, T* gram, bool want_q) {
  const R one = 1;
  const R zero = 0;
  const T unit = one;
  const char op = adjoint();
  const std::size_t square = static_cast<std::size_t>(cols) * static_cast<std::size_t>(cols);
  for (int round = 0; round < 2; ++round) {
    T* to = round == 0 ? r : gram;
    std::fill_n(to, square, T(0));
    f.herk("U", &op, &cols, &rows, &one, q, &rows, &zero, to, &cols, 1, 1);
    int info = 0;
    f.potrf("U", &cols, to, &cols, &info, 1);
    if (info != 0) return false;
    if (round == 0) {
      // |R| |R^-1| is at most `cols` times what is accepted here; the inverse is exact enough to compare with.
      std::fill_n(gram, square, T(0));
      for (int j = 0; j < cols; ++j) gram[j + static_cast<std::size_t>(j) * cols] = unit;
      f.trsm("L", "U", "N", "N", &cols, &cols, &unit, r, &cols, gram, &cols, 1, 1, 1, 1);
      R norm = 0;
      R inverse = 0;
      for (std::size_t k = 0; k < square; ++k) {
        norm += std::norm(r[k]);
        inverse += std::norm(gram[k]);
      }
      const R limit = R(0.01) / std::numeric_limits<R>::epsilon();
      if (!(norm * inverse < limit)) return false;
    }
    if (round == 1 && !want_q) break;
    f.trsm("R", "U", "N", "N", &rows, &cols, &unit, to, &cols, q, &rows, 1, 1, 1, 1);
  }
  f.trmm("L", "U", "N", "N", &cols, &cols, &unit, gram, &cols, r, &cols, 1, 1, 1, 1);
  return true;
}

// `spare`: rows x cols and 3 kReflectorBlock x cols elements.
template <typename T>
void Kernels<T>::householder_qr(T* q, int rows, int cols, T* r, T* spare) {
  const int steps = std::min(rows, cols);
  const int nb = std::min(kReflectorBlock, steps);
  T* v = spare;
  T* t = v + static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols);
  T* work = t + static_cast<std::size_t>(kReflectorBlock) * static_cast<std::size_t>(cols);
  std::memcpy(v, q, static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols) * sizeof(T));
  int info = 0;
  f.geqrt(&rows, &cols, &nb, v, &rows, t, &nb, work, &info);
  std::fill_n(q, static_cast<std::size_t>(rows) * static_cast<std::size_t>(steps), T(0));
  for (int j = 0; j < steps; ++j) q[j + static_cast<std::size_t>(j) * rows] = T(1);
  f.gemqrt("L", "N", &rows, &steps, &steps, &nb, v, &rows, t, &nb, q, &rows, work, &info, 1, 1);
  for (int j = 0; j < cols; ++j) {
    for (int i = 0; i < steps; ++i) {
      r[i + static_cast<std::size_t>(j) * steps] = i <= j ? v[i + static_cast<std::size_t>(j) * rows] : T(0);
    }
  }
  // A diagonal that is real and not negative makes the factors unique.
  for (int i = 0; i < steps; ++i) {
    const T d = r[i + static_cast<std::size_t>(i) * steps];
    const R size = std::abs(d);
    if (size == 0 || d == T(size)) continue;
    const T phase = d / size;
    for (int j = i; j < cols; ++j) r[i + static_cast<std::size_t>(j) * steps] *= conjugate_of(phase);
    for (int k = 0; k < rows; ++k) q[k + static_cast<std::size_t>(i) * rows] *= phase;
  }
}

// Q over `q`, R in `r`; `spare` has cols x cols, rows x cols and 2 kReflectorBlock x cols elements.
template <typename T>
void Kernels<T>::leaf(const Block& a, T* q, T* r, T* spare, bool want_q) {
  const int rows = a.transposed ? a.cols : a.rows;
  const int cols = a.transposed ? a.rows : a.cols;
  const std::size_t square = static_cast<std::size_t>(cols) * static_cast<std::size_t>(cols);
  if (count(a) == 0) {
    std::fill_n(r, square, T(0));
    return;
  }
  unfold(a, q);
  if (rows >= 2 * cols && cholesky_qr(q, rows, cols, r, spare, want_q)) return;
  unfold(a, q);
  const int steps = std::min(rows, cols);
  T* tall = spare;  // R of fewer rows than columns: the rest of R, and of Q, is zero
  householder_qr(q, rows, cols, tall, spare + square);
  std::fill_n(r, square, T(0));
  for (int j = 0; j < cols; ++j) {
    std::memcpy(r + static_cast<std::size_t>(j) * cols, tall + static_cast<std::size_t>(j) * steps,
                static_cast<std::size_t>(steps) * sizeof(T));
  }
  std::fill_n(q + static_cast<std::size_t>(rows) * steps, static_cast<std::size_t>(rows) * (cols - steps), T(0));
}

template <typename T>
base::Result<Fault> Kernels<T>::qr_leaf() {
  const Block& q = blocks[0];
  const Block& r = blocks[1];
  const Block& a = blocks[2];
  const int rows = a.transposed ? a.cols : a.rows;
  const int cols = a.transposed ? a.rows : a.cols;
  if (q.rows != rows || q.cols != cols || r.cols != cols || r.rows != cols) return mismatch("qr_leaf");
  leaf(a, data(q), data(r), reinterpret_cast<T*>(workspace), true);
  return Fault{};
}

template <typename T>
base::Result<Fault> Kernels<T>::r_leaf() {
  const Block& r = blocks[0];
  const Block& a = blocks[1];
  const int cols = a.transposed ? a.rows : a.cols;
  if (r.cols != cols || r.rows != cols) return mismatch("r_leaf");
  T* q = reinterpret_cast<T*>(workspace);
  leaf(a, q, data(r), q + count(a), false);
  return Fault{};
}

template <typename T>
base::Result<Fault> Kernels<T>::qr_merge() {
  const int n = blocks[2].cols;
  for (const Block& b : blocks) {
    if (b.rows != n || b.cols != n || b.transposed) return mismatch("qr_merge");
  }
  const std::size_t size = static_cast<std::size_t>(n) * static_cast<std::size_t>(n);
  T* both = reinterpret_cast<T*>(workspace);
  for (int j = 0; j < n; ++j) {
    for (int part = 0; part < 2; ++part) {
      const auto rows = static_cast<std::size_t>(n);
      const auto column = static_cast<std::size_t>(j);
      const auto half = static_cast<std::size_t>(part);
      std::memcpy(both + (2 * column + half) * rows, data(blocks[3 + half]) + column * rows, rows * sizeof(T));
    }
  }
  if (n > 0) householder_qr(both, 2 * n, n, data(blocks[2]), both + 2 * size);
  for (int j = 0; j < n; ++j) {
    for (int part = 0; part < 2; ++part) {
      std::memcpy(data(blocks[static_cast<std::size_t>(part)]) + static_cast<std::size_t>(j) * n,
                  both + static_cast<std::size_t>(2 * j + part) * n, static_cast<std::size_t>(n) * sizeof(T));
    }
  }
  return Fault{};
}

}  // namespace daybreak::linalg
