// The arithmetic of the product of experts that is worth writing once per instruction set, behind one table.
#pragma once

#include <cstdint>

namespace mm_emotion {

// What every row shares. `prior` is null without one.
template <typename T>
struct Experts {
  int64_t modalities, classes;
  const T *weights, *prior;
};

// A block is `lanes` rows side by side: value c of modality m of row r is (m * classes + c) * lanes + r, and so on.
template <typename T>
struct ProductKernels {
  int64_t lanes;

  // out (classes) from log_probs (modalities, classes) of a block; `present` (modalities) holds 1 or 0, null is all 1.
  void (*fuse)(const Experts<T>& experts, const T* log_probs, const T* present, T* out);
  // d_log_probs (modalities, classes) from d_out (classes); d_weights[m] += the sum over the rows of the block.
  // `scratch` holds two blocks of `classes`.
  void (*fuse_backward)(
      const Experts<T>& experts, const T* log_probs, const T* present, const T* d_out, T* scratch, T* d_log_probs,
      double* d_weights);
};

// The table of the instruction set in use.
template <typename T>
const ProductKernels<T>& product_kernels();

}  // namespace mm_emotion
