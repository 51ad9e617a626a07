// The arithmetic of the tensor fusion that is worth writing once per instruction set, behind one table of functions.
#pragma once

#include <cstdint>

namespace mm_emotion {

// Memory that will be read next and is fetched, evenly, in the course of a call.
struct Ahead {
  const char* from;
  int64_t bytes;
};

// A panel is `columns` values side by side, two vectors. Rows come in tiles of at most `tile` of them, as equal as can
// be: tile p of t holds the rows from m p / t on. A packed matrix (m, depth) holds one tile after the other, and of each
// the rows of step 0, then those of step 1.
template <typename T>
struct FusionKernels {
  int64_t columns, tile;

  // y[r][..width) += scale[r] * sum_k x[r][k] w[k][..width) for r < m, x packed; w is read a whole panel wide.
  void (*accumulate)(
      int64_t m, int64_t depth, const T* x, const T* w, int64_t w_stride, int64_t width, const T* scale, T* y,
      int64_t y_stride, Ahead ahead);
  // Step `step` of the packed x (m, depth), from the m values of all its rows.
  void (*pack)(int64_t m, int64_t depth, int64_t step, const T* values, T* x);
  // out[n][..width) = (or +=, with `add`) sum_b x[n][b] y[b][..columns) for n < m, x packed.
  void (*outer)(
      int64_t m, int64_t depth, const T* x, const T* y, T* out, int64_t out_stride, int64_t width, bool add);
  // With z[n][l] = sum_h w[n][h] dy[h][l] for n < m and every l of a panel: d_scale[l] += sum_n z[n][l] x[n][l] and
  // dx[n][l] += scale[l] z[n][l]. Rows of w lie `depth` values apart.
  void (*contract)(
      int64_t m, int64_t depth, const T* w, const T* dy, const T* x, const T* scale, T* d_scale, T* dx, Ahead ahead);
  // count bfloat16 values to T and back, to nearest even.
  void (*widen)(int64_t count, const uint16_t* from, T* to);
  void (*narrow)(int64_t count, const T* from, uint16_t* to);
};

// The table of the instruction set in use.
template <typename T>
const FusionKernels<T>& fusion_kernels();

}  // namespace mm_emotion
