// The arithmetic of the scan that is worth writing once per instruction set, behind one table of functions.
#pragma once

#include <cstdint>

namespace mm_emotion {

// Matrices are multiplied from panels: `columns` columns side by side, one row of them after the other, the last panel
// filled up with zeros. pack() makes them.
template <typename T>
struct Kernels {
  const char* name;
  int64_t columns;

  // c[i][0..n) += a[i][0..k) W for i < m. `panels` is the packed W (k, n); scratch holds m * k values.
  void (*multiply)(int64_t m, int64_t n, int64_t k, const T* const* a, const T* panels, T* const* c, T* scratch);
  // Pre-activations h_n, r, z, n (4 * size) to gates in place, and the new state.
  void (*gru)(int64_t size, T* gates, const T* before, T* after);
  // Gradients of the pre-activations (4 * size) and of `before`, from the gradient of the new state; d_before may be d.
  void (*gru_backward)(int64_t size, const T* gates, const T* before, const T* d, T* d_gates, T* d_before);
  // out[i] = rows[i] . x
  void (*dots)(int64_t count, int64_t size, const T* rows, const T* x, T* out);
  // out += sum_i weights[i] rows[i]
  void (*mix)(int64_t count, int64_t size, const T* rows, const T* weights, T* out);
  // rows[i] += a[i] x + b[i] y
  void (*spread)(int64_t count, int64_t size, T* rows, const T* a, const T* x, const T* b, const T* y);
};

// The best table this processor can run; MM_EMOTION_CPU=avx512|avx2|baseline lowers the choice.
template <typename T>
const Kernels<T>& kernels();

}  // namespace mm_emotion
