// One instruction set's version of every kernel of the tensor fusion; see each_instruction_set.h for BYTES and TILE. A
// panel is two vectors wide.
#include "simd_body.h"

// ROWS rows times one panel, in registers. PACKED: see FusionKernels; else rows lie `stride` values apart.
template <typename T, int ROWS, bool PACKED>
struct Tile {
  using S = Simd<T>;
  typename S::Vector low[ROWS] = {}, high[ROWS] = {};

  // Meanwhile fetches what lies from `ahead` on, `pace` bytes with each step.
  inline __attribute__((always_inline)) void add(
      int64_t depth, const T* a, int64_t stride, const T* panel, int64_t panel_stride, const char* ahead, int64_t pace) {
    for (int64_t step = 0; step < depth; ++step) {
      __builtin_prefetch(ahead, 0, 2);
      const typename S::Vector left = S::load(panel), right = S::load(panel + S::kLanes);
#pragma GCC unroll 16
      for (int row = 0; row < ROWS; ++row) {
        const T value = a[PACKED ? row : row * stride];
        low[row] += value * left;
        high[row] += value * right;
      }
      a += PACKED ? ROWS : 1;
      panel += panel_stride;
      ahead += pace;
    }
  }
};

// Calls run.template operator()<ROWS>() with the number of rows as a constant.
template <int ROWS, typename Run>
inline void with_rows(int64_t rows, const Run& run) {
  if constexpr (ROWS > 1) {
    if (rows < ROWS) return with_rows<ROWS - 1>(rows, run);
  }
  run.template operator()<ROWS>();
}

// Calls run(tile, first row, rows) for every tile of m rows.
inline int64_t tiles_of(int64_t m) { return (m + TILE - 1) / TILE; }
template <typename Run>
inline void each_tile(int64_t m, const Run& run) {
  const int64_t tiles = tiles_of(m);
  for (int64_t part = 0; part < tiles; ++part) {
    const int64_t begin = m * part / tiles;
    run(part, begin, m * (part + 1) / tiles - begin);
  }
}

// What one of several equal parts of a call fetches: `bytes` with each of its `depth` steps. Whole lines as long as few
// parts share the work, so that none is asked for twice.
inline Ahead share_of(Ahead all, int64_t part, int64_t parts, int64_t depth) {
  int64_t pace = all.bytes / (parts * depth);
  if (pace > 32) pace = 64;
  const int64_t begin = part * depth * pace;
  return begin < all.bytes ? Ahead{all.from + begin, pace} : Ahead{all.from, 0};
}

template <typename T>
void accumulate(
    int64_t m, int64_t depth, const T* x, const T* w, int64_t w_stride, int64_t width, const T* scale, T* y,
    int64_t y_stride, Ahead ahead) {
  using S = Simd<T>;
  each_tile(m, [&](int64_t part, int64_t begin, int64_t rows) {
    const Ahead fetched = share_of(ahead, part, tiles_of(m), depth);
    with_rows<TILE>(rows, [&]<int ROWS>() {
      Tile<T, ROWS, true> sums;
      sums.add(depth, x + begin * depth, 0, w, w_stride, fetched.from, fetched.bytes);
      if (width == 2 * S::kLanes) {
#pragma GCC unroll 16
        for (int row = 0; row < ROWS; ++row) {
          T* to = y + (begin + row) * y_stride;
          S::store(to, S::load(to) + scale[begin + row] * sums.low[row]);
          S::store(to + S::kLanes, S::load(to + S::kLanes) + scale[begin + row] * sums.high[row]);
        }
        return;
      }
      T values[2 * S::kLanes];
#pragma GCC unroll 16
      for (int row = 0; row < ROWS; ++row) {
        S::store(values, sums.low[row]);
        S::store(values + S::kLanes, sums.high[row]);
        for (int64_t column = 0; column < width; ++column)
          y[(begin + row) * y_stride + column] += scale[begin + row] * values[column];
      }
    });
  });
}

template <typename T>
void pack(int64_t m, int64_t depth, int64_t step, const T* values, T* x) {
  each_tile(m, [&](int64_t, int64_t begin, int64_t rows) {
    with_rows<TILE>(rows, [&]<int ROWS>() {
      std::memcpy(x + begin * depth + step * ROWS, values + begin, ROWS * sizeof(T));
    });
  });
}

template <typename T>
void outer(
    int64_t m, int64_t depth, const T* x, const T* y, T* out, int64_t out_stride, int64_t width, bool add) {
  using S = Simd<T>;
  each_tile(m, [&](int64_t, int64_t begin, int64_t rows) {
    with_rows<TILE>(rows, [&]<int ROWS>() {
      Tile<T, ROWS, true> sums;
      sums.add(depth, x + begin * depth, 0, y, 2 * S::kLanes, reinterpret_cast<const char*>(y), 0);
      T* to = out + begin * out_stride;
      if (width == 2 * S::kLanes) {
#pragma GCC unroll 16
        for (int row = 0; row < ROWS; ++row, to += out_stride) {
          S::store(to, add ? S::load(to) + sums.low[row] : sums.low[row]);
          S::store(to + S::kLanes, add ? S::load(to + S::kLanes) + sums.high[row] : sums.high[row]);
        }
        return;
      }
      T values[2 * S::kLanes];
#pragma GCC unroll 16
      for (int row = 0; row < ROWS; ++row, to += out_stride) {
        S::store(values, sums.low[row]);
        S::store(values + S::kLanes, sums.high[row]);
        for (int64_t column = 0; column < width; ++column) to[column] = (add ? to[column] : T(0)) + values[column];
      }
    });
  });
}

template <typename T>
void contract(
    int64_t m, int64_t depth, const T* w, const T* dy, const T* x, const T* scale, T* d_scale, T* dx, Ahead ahead) {
  using S = Simd<T>;
  each_tile(m, [&](int64_t part, int64_t begin, int64_t rows) {
    const Ahead fetched = share_of(ahead, part, tiles_of(m), depth);
    with_rows<TILE>(rows, [&]<int ROWS>() {
      Tile<T, ROWS, false> z;
      z.add(depth, w + begin * depth, depth, dy, 2 * S::kLanes, fetched.from, fetched.bytes);
      typename S::Vector low = S::load(d_scale), high = S::load(d_scale + S::kLanes);
      const typename S::Vector left = S::load(scale), right = S::load(scale + S::kLanes);
      const T* value = x + begin * 2 * S::kLanes;
      T* to = dx + begin * 2 * S::kLanes;
#pragma GCC unroll 16
      for (int row = 0; row < ROWS; ++row, value += 2 * S::kLanes, to += 2 * S::kLanes) {
        low += z.low[row] * S::load(value);
        high += z.high[row] * S::load(value + S::kLanes);
        S::store(to, S::load(to) + left * z.low[row]);
        S::store(to + S::kLanes, S::load(to + S::kLanes) + right * z.high[row]);
      }
      S::store(d_scale, low);
      S::store(d_scale + S::kLanes, high);
    });
  });
}

template <typename T>
void widen(int64_t count, const uint16_t* from, T* to) {
  for (int64_t i = 0; i < count; ++i) to[i] = static_cast<T>(std::bit_cast<float>(static_cast<uint32_t>(from[i]) << 16));
}

template <typename T>
void narrow(int64_t count, const T* from, uint16_t* to) {
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t bits = std::bit_cast<uint32_t>(static_cast<float>(from[i]));
    const bool nan = (bits & 0x7fffffff) > 0x7f800000;
    to[i] = static_cast<uint16_t>(nan ? 0x7fc0 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  }
}

template <typename T>
const FusionKernels<T>& table() {
  static const FusionKernels<T> all{
      2 * Simd<T>::kLanes, TILE, accumulate<T>, pack<T>, outer<T>, contract<T>, widen<T>, narrow<T>};
  return all;
}
