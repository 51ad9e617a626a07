// One instruction set's version of every kernel of the scan; see each_instruction_set.h for BYTES and TILE.
#include "simd_body.h"

// Values that are fetched ahead: hardware prefetch stops at the end of each page.
constexpr int64_t kAhead = 512;

// to[j * count + i] = rows[i][j] for j < size. A vector may run over the end of its line of `to`, and over the end of
// all of them: the next line is written later, and the caller leaves room behind the last.
template <typename T>
void interleave(int64_t count, int64_t size, const T* const* rows, T* to) {
  using S = Simd<T>;
  constexpr int64_t lanes = S::kLanes;
  const int64_t squares = count < lanes ? lanes : count - count % lanes;
  int64_t j = 0;
  for (; j + lanes <= size; j += lanes) {
    for (int64_t first = 0; first < squares; first += lanes) {
      typename S::Vector square[lanes];
      for (int64_t i = 0; i < lanes; ++i) square[i] = S::load(rows[first + i < count ? first + i : first] + j);
      S::transpose(square);
      for (int64_t i = 0; i < lanes; ++i) S::store(to + (j + i) * count + first, square[i]);
    }
    for (int64_t i = squares; i < count; ++i)
      for (int64_t step = j; step < j + lanes; ++step) to[step * count + i] = rows[i][step];
  }
  for (; j < size; ++j)
    for (int64_t i = 0; i < count; ++i) to[j * count + i] = rows[i][j];
}

// c (ROWS, columns) = or += packed rows (k, ROWS) times a panel.
template <typename T, int ROWS>
void tile(int64_t k, const T* a, const T* panel, T* c, bool add) {
  using S = Simd<T>;
  typename S::Vector low[ROWS] = {}, high[ROWS] = {};
  for (int64_t step = 0; step < k; ++step) {
    __builtin_prefetch(panel + kAhead);
    __builtin_prefetch(panel + kAhead + S::kLanes);
    const typename S::Vector left = S::load(panel), right = S::load(panel + S::kLanes);
#pragma GCC unroll 16
    for (int row = 0; row < ROWS; ++row) {
      low[row] += a[row] * left;
      high[row] += a[row] * right;
    }
    a += ROWS;
    panel += 2 * S::kLanes;
  }
#pragma GCC unroll 16
  for (int row = 0; row < ROWS; ++row, c += 2 * S::kLanes) {
    S::store(c, add ? S::load(c) + low[row] : low[row]);
    S::store(c + S::kLanes, add ? S::load(c + S::kLanes) + high[row] : high[row]);
  }
}

template <typename T, int ROWS>
void tile_of(int64_t rows, int64_t k, const T* a, const T* panel, T* c, bool add) {
  if constexpr (ROWS > 1) {
    if (rows < ROWS) return tile_of<T, ROWS - 1>(rows, k, a, panel, c, add);
  }
  tile<T, ROWS>(k, a, panel, c, add);
}

// Rows are cut into tiles of about the same height, and k into stretches that leave a tile in the first cache.
static inline int64_t cut(int64_t size, int64_t part, int64_t parts) { return size * part / parts; }
template <typename T>
int64_t stretches_of(int64_t k) {
  constexpr int64_t longest = 2048 / sizeof(T);
  return (k + longest - 1) / longest;
}

template <typename T>
void pack(int64_t m, int64_t k, const T* const* rows, int64_t first, T* packed) {
  const int64_t tiles = (m + TILE - 1) / TILE, stretches = stretches_of<T>(k);
  for (int64_t stretch = 0; stretch < stretches; ++stretch) {
    const int64_t start = cut(k, stretch, stretches), depth = cut(k, stretch + 1, stretches) - start;
    for (int64_t part = 0; part < tiles; ++part) {
      const int64_t begin = cut(m, part, tiles), count = cut(m, part + 1, tiles) - begin;
      const T* from[TILE];
      for (int64_t row = 0; row < count; ++row) from[row] = rows[begin + row] + first + start;
      interleave(count, depth, from, packed);
      packed += count * depth;
    }
  }
}

template <typename T>
void multiply(int64_t m, int64_t k, const T* packed, const T* panel, T* c, bool add) {
  constexpr int64_t columns = 2 * Simd<T>::kLanes;
  const int64_t tiles = (m + TILE - 1) / TILE, stretches = stretches_of<T>(k);
  for (int64_t stretch = 0; stretch < stretches; ++stretch) {
    const int64_t start = cut(k, stretch, stretches), depth = cut(k, stretch + 1, stretches) - start;
    for (int64_t part = 0; part < tiles; ++part) {
      const int64_t begin = cut(m, part, tiles), count = cut(m, part + 1, tiles) - begin;
      tile_of<T, TILE>(count, depth, packed, panel, c + begin * columns, add || stretch > 0);
      packed += count * depth;
    }
    panel += depth * columns;
  }
}

template <typename T>
void gru(int64_t m, int64_t size, int64_t first, int64_t width, const T* sums, const T* bias, const Cell<T>* cells) {
  using S = Simd<T>;
  using Vector = typename S::Vector;
  constexpr int64_t lanes = S::kLanes, columns = 2 * lanes;
  const int64_t gate = m * columns;
  for (int64_t row = 0; row < m; ++row, sums += columns) {
    const Cell<T>& cell = cells[row];
    for (int64_t i = 0; i < width; i += lanes) {
      const int64_t count = width - i;
      const T *sum = sums + i, *input = cell.input + first + i, *own = bias + first + i;
      const Vector r = sigmoid(S::load(sum) + S::load(input, count) + S::load(own, count));
      const Vector z = sigmoid(S::load(sum + gate) + S::load(input + size, count) + S::load(own + size, count));
      const Vector h_n = S::load(sum + 2 * gate) + S::load(own + 2 * size, count);
      const Vector n = hyperbolic_tangent(S::load(sum + 3 * gate) + S::load(input + 2 * size, count) + r * h_n);
      S::store(cell.after + first + i, n + z * (S::load(cell.before + first + i, count) - n), count);
      if (cell.gates == nullptr) continue;
      T* to = cell.gates + first + i;
      S::store(to, h_n, count);
      S::store(to + size, r, count);
      S::store(to + 2 * size, z, count);
      S::store(to + 3 * size, n, count);
    }
  }
}

template <typename T>
void gru_backward(int64_t size, const T* gates, const T* before, const T* d, T* d_gates, T* d_before) {
  const T *h_n = gates, *r = gates + size, *z = gates + 2 * size, *n = gates + 3 * size;
  T *d_h_n = d_gates, *d_r = d_gates + size, *d_z = d_gates + 2 * size, *d_n = d_gates + 3 * size;
#pragma GCC ivdep
  for (int64_t i = 0; i < size; ++i) {
    const T gradient = d[i];
    const T candidate = gradient * (1 - z[i]) * (1 - n[i] * n[i]);
    const T hidden = candidate * r[i];
    d_z[i] = gradient * (before[i] - n[i]) * z[i] * (1 - z[i]);
    d_n[i] = candidate;
    d_h_n[i] = hidden;
    d_r[i] = hidden * h_n[i] * (1 - r[i]);
    d_before[i] = gradient * z[i];
  }
}

template <typename T, int ROWS>
inline void dots_of(int64_t size, int64_t stride, const T* rows, const T* x, T* out) {
  using S = Simd<T>;
  typename S::Vector sums[ROWS] = {};
  int64_t i = 0;
  for (; i + S::kLanes <= size; i += S::kLanes) {
    const typename S::Vector value = S::load(x + i);
#pragma GCC unroll 4
    for (int row = 0; row < ROWS; ++row) sums[row] += S::load(rows + row * stride + i) * value;
  }
#pragma GCC unroll 4
  for (int row = 0; row < ROWS; ++row) {
    T sum = S::total(sums[row]);
    for (int64_t rest = i; rest < size; ++rest) sum += rows[row * stride + rest] * x[rest];
    out[row] = sum;
  }
}

template <typename T>
void dots(int64_t count, int64_t size, int64_t stride, const T* rows, const T* x, T* out) {
  int64_t row = 0;
  for (; row + 4 <= count; row += 4) dots_of<T, 4>(size, stride, rows + row * stride, x, out + row);
  for (; row < count; ++row) dots_of<T, 1>(size, stride, rows + row * stride, x, out + row);
}

// Four rows at a time, so that `out` is read and written once for them and memory is read as it lies.
template <typename T>
void mix(int64_t count, int64_t size, const T* rows, const T* weights, T* out) {
  using S = Simd<T>;
  int64_t row = 0;
  for (; row + 4 <= count; row += 4) {
    const T *at = rows + row * size, *weight = weights + row;
    int64_t i = 0;
    for (; i + S::kLanes <= size; i += S::kLanes) {
      typename S::Vector sum = S::load(out + i);
#pragma GCC unroll 4
      for (int64_t part = 0; part < 4; ++part) sum += weight[part] * S::load(at + part * size + i);
      S::store(out + i, sum);
    }
    for (; i < size; ++i)
      for (int64_t part = 0; part < 4; ++part) out[i] += weight[part] * at[part * size + i];
  }
  for (; row < count; ++row) {
    const T* at = rows + row * size;
#pragma GCC ivdep
    for (int64_t i = 0; i < size; ++i) out[i] += weights[row] * at[i];
  }
}

template <typename T>
void softmax(int64_t count, T* values) {
  using S = Simd<T>;
  T top = values[0], sum = 0;
  for (int64_t i = 1; i < count; ++i) top = values[i] > top ? values[i] : top;
  for (int64_t i = 0; i < count; i += S::kLanes)
    S::store(values + i, exponential(S::load(values + i, count - i) - top), count - i);
  for (int64_t i = 0; i < count; ++i) sum += values[i];
  for (int64_t i = 0; i < count; ++i) values[i] /= sum;
}

template <typename T, int ROWS>
inline void unmix_of(
    int64_t size, const T* rows, const T* weights, T mean, const T* d, const T* query, T* d_rows, T* d_query) {
  using S = Simd<T>;
  T s[ROWS];
  dots_of<T, ROWS>(size, size, rows, d, s);
  for (int row = 0; row < ROWS; ++row) s[row] = weights[row] * (s[row] - mean);
  int64_t i = 0;
  for (; i + S::kLanes <= size; i += S::kLanes) {
    const typename S::Vector value = S::load(d + i), key = S::load(query + i);
    typename S::Vector sum = S::load(d_query + i);
#pragma GCC unroll 4
    for (int row = 0; row < ROWS; ++row) {
      sum += s[row] * S::load(rows + row * size + i);
      if (d_rows == nullptr) continue;
      T* to = d_rows + row * size + i;
      S::store(to, S::load(to) + weights[row] * value + s[row] * key);
    }
    S::store(d_query + i, sum);
  }
  for (; i < size; ++i)
    for (int row = 0; row < ROWS; ++row) {
      d_query[i] += s[row] * rows[row * size + i];
      if (d_rows != nullptr) d_rows[row * size + i] += weights[row] * d[i] + s[row] * query[i];
    }
}

template <typename T>
void unmix(
    int64_t count, int64_t size, const T* rows, const T* weights, const T* mean, const T* d, const T* query, T* d_rows,
    T* d_query) {
  T of_mean;
  dots_of<T, 1>(size, size, mean, d, &of_mean);
  for (int64_t row = 0; row < count;) {
    const int64_t at = row * size, height = row + 4 <= count ? 4 : 1;
    const auto part = height == 4 ? unmix_of<T, 4> : unmix_of<T, 1>;
    part(size, rows + at, weights + row, of_mean, d, query, d_rows == nullptr ? nullptr : d_rows + at, d_query);
    row += height;
  }
}

template <typename T>
const Kernels<T>& table() {
  static const Kernels<T> all{
      2 * Simd<T>::kLanes, TILE, interleave<T>, pack<T>, multiply<T>, gru<T>, gru_backward<T>, dots<T>, mix<T>,
      softmax<T>, unmix<T>};
  return all;
}
