#include "daybreak/linalg/blas.h"

#include <dlfcn.h>

#include <atomic>
#include <memory>

#include "daybreak/base/mutex.h"

namespace daybreak::linalg {

namespace {

std::atomic<const Blas*> opened_blas{nullptr};
base::Mutex opening_blas;

}  // namespace

struct BlasOpener {
  void* library;
  std::string missing;

  template <typename F>
  void find(F& function, const std::string& name) {
    function = reinterpret_cast<F>(dlsym(library, name.c_str()));
    if (function == nullptr && missing.empty()) missing = name;
  }

  template <typename T>
  void fill(Routines<T>& routines, const std::string& letter) {
    const std::string prefix = "scipy_" + letter;
    find(routines.gemm, prefix + "gemm_");
    find(routines.herk, prefix + (RealOf<T>::complex ? "herk_" : "syrk_"));
    find(routines.trsm, prefix + "trsm_");
    find(routines.trmm, prefix + "trmm_");
    find(routines.potrf, prefix + "potrf_");
    find(routines.getrf, prefix + "getrf_");
    find(routines.geqrt, prefix + "geqrt_");
    find(routines.gemqrt, prefix + "gemqrt_");
    find(routines.tpqrt, prefix + "tpqrt_");
    find(routines.tpmqrt, prefix + "tpmqrt_");
  }

  base::Result<std::unique_ptr<Blas>> blas() {
    auto made = std::make_unique<Blas>();
    fill(made->s_, "s");
    fill(made->d_, "d");
    fill(made->c_, "c");
    fill(made->z_, "z");
    find(made->core_name_, "scipy_openblas_get_corename");
    void (*set_threads)(int) = nullptr;
    find(set_threads, "scipy_openblas_set_num_threads");
    if (!missing.empty()) {
      return base::fail(base::Code::kNotFound, "the BLAS library has no {}: install scipy-openblas32 0.3.34 or later",
                        missing);
    }
    set_threads(1);
    return made;
  }
};

base::Status Blas::open(const std::string& path) {
  base::MutexLock lock(opening_blas);
  if (opened_blas.load() != nullptr) return {};
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return base::fail(base::Code::kNotFound, "the BLAS library cannot be opened ({}): install scipy-openblas32",
                      dlerror());
  }
  DAYBREAK_ASSIGN(auto made, (BlasOpener{library, {}}.blas()));
  opened_blas.store(made.release());  // for ever, as the library
  return {};
}

const Blas* Blas::get() {
  return opened_blas.load();
}

template <>
const Routines<float>& Blas::routines() const {
  return s_;
}
template <>
const Routines<double>& Blas::routines() const {
  return d_;
}
template <>
const Routines<std::complex<float>>& Blas::routines() const {
  return c_;
}
template <>
const Routines<std::complex<double>>& Blas::routines() const {
  return z_;
}

std::string Blas::core_name() const {
  return core_name_();
}

}  // namespace daybreak::linalg
