// The arithmetic of the scan that is worth writing once per instruction set, behind one table of functions.
#pragma once

#include <cstdint>

namespace mm_emotion {

// One row of a step of a GRU. The parts of `input` (r, z, n) and of `gates` (h_n, r, z, n) lie one state size apart.
template <typename T>
struct Cell {
  const T *input, *before;
  T *after, *gates;  // gates are kept where it is not null
};

// Matrices are multiplied from panels: `columns` columns side by side, one row of them after the other, the last panel
// filled up with zeros. The rows they are multiplied with are packed for it: at most `tile` side by side.
template <typename T>
struct Kernels {
  int64_t columns, tile;

  // to[j * count + i] = rows[i][j] for j < size; may write up to a vector more behind the last.
  void (*interleave)(int64_t count, int64_t size, const T* const* rows, T* to);
  // Values first to first + k of m rows as multiply reads them; may write up to a vector more behind the last.
  void (*pack)(int64_t m, int64_t k, const T* const* rows, int64_t first, T* packed);
  // c (m, columns) = or += packed rows times a panel (k, columns)
  void (*multiply)(int64_t m, int64_t k, const T* packed, const T* panel, T* c, bool add);
  // The states first to first + width of m new states of `size`, from the products that lie in `sums` (4, m, columns) for
  // r, z, h_n, n, and the biases of the state matrix (r, z, n).
  void (*gru)(
      int64_t m, int64_t size, int64_t first, int64_t width, const T* sums, const T* bias, const Cell<T>* cells);
  // Gradients of the pre-activations (4 * size) and of `before`, from the gradient of the new state; d_before may be d.
  void (*gru_backward)(int64_t size, const T* gates, const T* before, const T* d, T* d_gates, T* d_before);
  // out[i] = rows[i] . x, where a row begins `stride` values after the one before
  void (*dots)(int64_t count, int64_t size, int64_t stride, const T* rows, const T* x, T* out);
  // out += sum_i weights[i] rows[i]
  void (*mix)(int64_t count, int64_t size, const T* rows, const T* weights, T* out);
  // In place; count > 0
  void (*softmax)(int64_t count, T* values);
  // The way back through a mean of rows, whose weights are the softmax of rows[i] . query: with the gradient d of the mean
  // and s[i] = weights[i] (rows[i] . d - mean . d), d_query += sum_i s[i] rows[i] and, where d_rows is not null,
  // d_rows[i] += weights[i] d + s[i] query.
  void (*unmix)(
      int64_t count, int64_t size, const T* rows, const T* weights, const T* mean, const T* d, const T* query,
      T* d_rows, T* d_query);
};

// The table of the instruction set in use.
template <typename T>
const Kernels<T>& kernels();

}  // namespace mm_emotion
