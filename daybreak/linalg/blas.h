// BLAS and LAPACK, opened at first use: nothing of this program is linked against them, because their threads would be
// there before a fork. The routines have Fortran's calling convention, with the lengths of their character arguments at
// the end.
#pragma once

#include <complex>
#include <cstddef>
#include <string>
#include <string_view>

#include "daybreak/base/error.h"
#include "daybreak/linalg/scalar.h"

namespace daybreak::linalg {

using Length = std::size_t;  // of a character argument

// The routines of one element type T; R is its real type. Matrices are column-major; a leading dimension is in elements.
template <typename T>
struct Routines {
  using R = typename RealOf<T>::type;
  void (*gemm)(const char*, const char*, const int*, const int*, const int*, const T*, const T*, const int*, const T*,
               const int*, const T*, T*, const int*, Length, Length);
  // C = alpha A A' + beta C (A A^H of complex numbers).
  void (*herk)(const char*, const char*, const int*, const int*, const R*, const T*, const int*, const R*, T*,
               const int*, Length, Length);
  void (*trsm)(const char*, const char*, const char*, const char*, const int*, const int*, const T*, const T*,
               const int*, T*, const int*, Length, Length, Length, Length);
  void (*trmm)(const char*, const char*, const char*, const char*, const int*, const int*, const T*, const T*,
               const int*, T*, const int*, Length, Length, Length, Length);
  void (*potrf)(const char*, const int*, T*, const int*, int*, Length);
  void (*getrf)(const int*, const int*, T*, const int*, int*, int*);
  void (*geqrt)(const int*, const int*, const int*, T*, const int*, T*, const int*, T*, int*);
  void (*gemqrt)(const char*, const char*, const int*, const int*, const int*, const int*, const T*, const int*,
                 const T*, const int*, T*, const int*, T*, int*, Length, Length);
  void (*tpqrt)(const int*, const int*, const int*, const int*, T*, const int*, T*, const int*, T*, const int*, T*,
                int*);
  void (*tpmqrt)(const char*, const char*, const int*, const int*, const int*, const int*, const int*, const T*,
                 const int*, const T*, const int*, T*, const int*, T*, const int*, T*, int*, Length, Length);
};

// The library, once a process. Any thread may call its routines. It runs with one thread of its own: who wants more
// cores calls it from more threads, which is what the runner does.
class Blas {
 public:
  // Opens the library at `path`; later calls change nothing. kNotFound when it is not there or lacks a routine.
  static base::Status open(const std::string& path);
  // nullptr before open().
  static const Blas* get();

  template <typename T>
  const Routines<T>& routines() const;
  // "Haswell", "SkylakeX", ...: which kernels it has chosen.
  std::string core_name() const;

 private:
  Routines<float> s_;
  Routines<double> d_;
  Routines<std::complex<float>> c_;
  Routines<std::complex<double>> z_;
  char* (*core_name_)() = nullptr;

  friend struct BlasOpener;
};

}  // namespace daybreak::linalg
