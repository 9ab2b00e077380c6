// The two loops of a Parzen estimator in which its time goes, per instruction level. Arrays are doubles in blocks of kBlock.
#pragma once

#include <cstddef>

namespace daybreak::tune::internal {

inline constexpr std::size_t kBlock = 8;

// Of `blocks` blocks of kernels with `dims` coordinates; block b's coordinate d is kBlock inverse sigmas and then kBlock mu / sigma at
// kernels + (b * dims + d) * 2 * kBlock. Adds -1/2 sum over d of ((x_d - mu) / sigma)^2 to out[p * blocks * kBlock + k] for each of
// `count` points, whose coordinates lie at points + p * dims.
using AddQuadratics = void (*)(const double* kernels, std::size_t blocks, std::size_t dims, const double* points,
                               std::size_t count, double* out);
// log sum of exp(logs[k] + log_weights[k]), k < blocks * kBlock, to 1e-12; -inf as a weight is none. The same for any order of them.
using LogWeightedSum = double (*)(const double* logs, const double* log_weights, std::size_t blocks);

struct ParzenKernels {
  AddQuadratics add_quadratics = nullptr;
  LogWeightedSum log_weighted_sum = nullptr;
};

ParzenKernels scalar_parzen_kernels();
ParzenKernels avx2_parzen_kernels();    // nothing where the processor's family has no such level
ParzenKernels avx512_parzen_kernels();  // the same

}  // namespace daybreak::tune::internal
