// What the passes of the tensor fusion share: the modalities with their 1, and their product X, made piece by piece.
#pragma once

#include <algorithm>
#include <type_traits>
#include <vector>

#include "memory.h"
#include "tensor_fusion.h"

namespace mm_emotion {

constexpr int64_t kMostRows = 256;  // of the batch, whose X stays in the second cache
constexpr int64_t kFewestTasks = 32;

inline int64_t ceiling(int64_t count, int64_t size) { return (count + size - 1) / size; }
inline int64_t part(int64_t count, int64_t index, int64_t parts) { return count * index / parts; }

// T computes, S is stored.
template <typename T, typename S>
struct Fusion {
  Fusion(const std::vector<Tensor>& modalities, const Tensor& weight_) : weight(weight_) {
    for (const Tensor& x : modalities) xs.emplace_back(x);
    const bool three = xs.size() == 3;
    rows = modalities[0].size(0);
    sizes[0] = weight_.size(0), sizes[1] = weight_.size(1), sizes[2] = three ? weight_.size(2) : 1;
    inner = sizes[1] * sizes[2];
    outputs = weight_.size(weight_.dim() - 1);
    tiles = ceiling(rows, kMostRows);
  }
  int64_t first_row(int64_t tile) const { return part(rows, tile, tiles); }
  int64_t most_rows() const { return tiles ? ceiling(rows, tiles) : 0; }

  // Modality m of `count` rows with its 1, rows innermost and `width` of them, the last ones 0.
  void turn(int64_t m, int64_t begin, int64_t count, int64_t width, T* out) const {
    for (int64_t i = 0; i < sizes[m]; ++i, out += width) {
      for (int64_t row = 0; row < count; ++row) out[row] = value(m, begin + row, i);
      std::fill(out + count, out + width, T(0));
    }
  }

  // Modality m of a row at i, its 1 included.
  T value(int64_t m, int64_t row, int64_t i) const { return i ? T(xs[m].data[row * (sizes[m] - 1) + i - 1]) : T(1); }

  // out[i] = X[start + i] of a row for i < count.
  void product(int64_t row, int64_t start, int64_t count, T* out) const {
    const S* last = xs.size() == 3 ? xs[2].data + row * (sizes[2] - 1) : nullptr;
    for (int64_t n = start; n < start + count;) {
      const T factor = value(1, row, n / sizes[2]);
      int64_t k = n % sizes[2];
      const int64_t end = std::min(sizes[2], k + start + count - n);
      n += end - k;
      if (k == 0) *out++ = factor, ++k;
      for (int64_t at = k; at < end; ++at) out[at - k] = factor * T(last[at - 1]);
      out += end - k;
    }
  }

  std::vector<Rows<S>> xs;
  Rows<S> weight;
  int64_t rows, sizes[3], inner, outputs, tiles;
};

// All modalities of some rows, turned.
template <typename T, typename S>
struct Turned {
  Turned(const Fusion<T, S>& fusion_, int64_t most)
      : fusion(fusion_), buffer((fusion.sizes[0] + fusion.sizes[1] + fusion.sizes[2]) * most) {}
  void set(int64_t begin, int64_t count, int64_t width_) {
    width = width_;
    x[0] = buffer.data(), x[1] = x[0] + fusion.sizes[0] * width, x[2] = x[1] + fusion.sizes[1] * width;
    for (int64_t m = 0; m < 3; ++m) fusion.turn(m, begin, count, width, x[m]);
  }
  // out[r] = X[n][first + r]
  void product(int64_t n, int64_t first, int64_t count, T* out) const {
    const T *a = x[1] + n / fusion.sizes[2] * width + first, *v = x[2] + n % fusion.sizes[2] * width + first;
    for (int64_t row = 0; row < count; ++row) out[row] = a[row] * v[row];
  }

  const Fusion<T, S>& fusion;
  Buffer<T> buffer;
  T* x[3];
  int64_t width = 0;
};

// Rows of the weight as T, a copy in `scratch` where they are stored otherwise.
template <typename T, typename S>
const T* widened(const S* from, int64_t count, T* scratch) {
  if constexpr (std::is_same_v<T, S>) {
    return from;
  } else {
    fusion_kernels<T>().widen(count, reinterpret_cast<const uint16_t*>(from), scratch);
    return scratch;
  }
}

}  // namespace mm_emotion
