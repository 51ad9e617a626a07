// One instruction set's version of every kernel. Included once for each of them, by kernels.cpp, inside a namespace of
// its own, with BYTES (of a vector) and TILE (rows of a tile that the registers hold beside two vectors) defined.

template <typename T>
struct Simd {
  static constexpr int64_t kLanes = BYTES / sizeof(T);
  typedef T Vector __attribute__((vector_size(BYTES)));
  typedef T Unaligned __attribute__((vector_size(BYTES), aligned(alignof(T)), may_alias));

  static inline Vector load(const T* from) { return *reinterpret_cast<const Unaligned*>(from); }
  static inline void store(T* to, Vector value) { *reinterpret_cast<Unaligned*>(to) = value; }
  static inline T total(Vector value) {
    T sum = 0;
    for (int64_t lane = 0; lane < kLanes; ++lane) sum += value[lane];
    return sum;
  }
};

typedef float Floats __attribute__((vector_size(BYTES)));
typedef int32_t Ints __attribute__((vector_size(BYTES)));
typedef double Doubles __attribute__((vector_size(BYTES)));

// Cephes' expf: x = n ln 2 + r, a polynomial for exp(r).
static inline Floats exponential(Floats x) {
  x = x < -87.0f ? (Floats{} - 87.0f) : x;
  x = x > 88.0f ? (Floats{} + 88.0f) : x;
  const Floats n = (x * 1.44269504f + 12582912.0f) - 12582912.0f;
  const Floats r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Floats p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  return p * (Floats)((__builtin_convertvector(n, Ints) + 127) << 23);
}
static inline Floats sigmoid(Floats x) { return 1.0f / (1.0f + exponential(-x)); }
static inline Floats hyperbolic_tangent(Floats x) {
  const Floats size = x < 0.0f ? -x : x;
  const Floats far = 1.0f - 2.0f / (exponential(size + size) + 1.0f);
  const Floats s = x * x;
  Floats p = s * -5.70498872745e-3f + 2.06390887954e-2f;
  p = p * s - 5.37397155531e-2f;
  p = p * s + 1.33314422036e-1f;
  p = p * s - 3.33332819422e-1f;
  const Floats near = x + x * s * p;
  return size < 0.625f ? near : (x < 0.0f ? -far : far);
}
static inline Doubles sigmoid(Doubles x) {
  for (size_t lane = 0; lane < BYTES / sizeof(double); ++lane) x[lane] = 1.0 / (1.0 + std::exp(-x[lane]));
  return x;
}
static inline Doubles hyperbolic_tangent(Doubles x) {
  for (size_t lane = 0; lane < BYTES / sizeof(double); ++lane) x[lane] = std::tanh(x[lane]);
  return x;
}

// Values that are fetched ahead: hardware prefetch stops at the end of each page.
constexpr int64_t kAhead = 512;

// c[i] += tile of packed rows (k, ROWS) times a panel.
template <typename T, int ROWS>
void tile(int64_t k, const T* a, const T* panel, T* const* c, int64_t first, int64_t width) {
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
  if (width == 2 * S::kLanes) {
#pragma GCC unroll 16
    for (int row = 0; row < ROWS; ++row) {
      T* to = c[row] + first;
      S::store(to, S::load(to) + low[row]);
      S::store(to + S::kLanes, S::load(to + S::kLanes) + high[row]);
    }
    return;
  }
  T sums[2 * S::kLanes];
#pragma GCC unroll 16
  for (int row = 0; row < ROWS; ++row) {
    S::store(sums, low[row]);
    S::store(sums + S::kLanes, high[row]);
    for (int64_t column = 0; column < width; ++column) c[row][first + column] += sums[column];
  }
}

template <typename T, int ROWS>
void tile_of(int64_t rows, int64_t k, const T* a, const T* panel, T* const* c, int64_t first, int64_t width) {
  if constexpr (ROWS > 1) {
    if (rows < ROWS) return tile_of<T, ROWS - 1>(rows, k, a, panel, c, first, width);
  }
  tile<T, ROWS>(k, a, panel, c, first, width);
}

// In stretches of k that leave the rows of a tile in the first cache.
template <typename T>
void multiply(int64_t m, int64_t n, int64_t k, const T* const* a, const T* panels, T* const* c, T* scratch) {
  constexpr int64_t columns = 2 * Simd<T>::kLanes, longest = 2048 / sizeof(T);
  const int64_t tiles = (m + TILE - 1) / TILE, stretches = (k + longest - 1) / longest;
  for (int64_t stretch = 0; stretch < stretches; ++stretch) {
    const int64_t start = k * stretch / stretches, depth = k * (stretch + 1) / stretches - start;
    for (int64_t part = 0; part < tiles; ++part) {
      const int64_t begin = m * part / tiles, rows = m * (part + 1) / tiles - begin;
      T* packed = scratch + begin * depth;
      for (int64_t row = 0; row < rows; ++row) {
        const T* from = a[begin + row] + start;
        for (int64_t step = 0; step < depth; ++step) packed[step * rows + row] = from[step];
      }
    }
    for (int64_t first = 0; first < n; first += columns) {
      const int64_t width = n - first < columns ? n - first : columns;
      const T* panel = panels + first * k + start * columns;
      for (int64_t part = 0; part < tiles; ++part) {
        const int64_t begin = m * part / tiles, rows = m * (part + 1) / tiles - begin;
        tile_of<T, TILE>(rows, depth, scratch + begin * depth, panel, c + begin, first, width);
      }
    }
  }
}

template <typename T>
inline void gru_step(T* h_n, T* r, T* z, T* n, const T* before, T* after) {
  using S = Simd<T>;
  const typename S::Vector reset = sigmoid(S::load(r)), update = sigmoid(S::load(z));
  const typename S::Vector candidate = hyperbolic_tangent(S::load(n) + reset * S::load(h_n));
  S::store(r, reset);
  S::store(z, update);
  S::store(n, candidate);
  S::store(after, candidate + update * (S::load(before) - candidate));
}

template <typename T>
void gru(int64_t size, T* gates, const T* before, T* after) {
  constexpr int64_t lanes = Simd<T>::kLanes;
  int64_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    T* at = gates + i;
    gru_step(at, at + size, at + 2 * size, at + 3 * size, before + i, after + i);
  }
  const int64_t rest = size - i;
  if (rest == 0) return;
  T parts[6][lanes] = {};
  for (int64_t gate = 0; gate < 4; ++gate) std::memcpy(parts[gate], gates + gate * size + i, rest * sizeof(T));
  std::memcpy(parts[4], before + i, rest * sizeof(T));
  gru_step(parts[0], parts[1], parts[2], parts[3], parts[4], parts[5]);
  for (int64_t gate = 1; gate < 4; ++gate) std::memcpy(gates + gate * size + i, parts[gate], rest * sizeof(T));
  std::memcpy(after + i, parts[5], rest * sizeof(T));
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

template <typename T>
void dots(int64_t count, int64_t size, const T* rows, const T* x, T* out) {
  using S = Simd<T>;
  int64_t row = 0;
  for (; row + 4 <= count; row += 4) {
    const T* at = rows + row * size;
    typename S::Vector sums[4] = {};
    int64_t i = 0;
    for (; i + S::kLanes <= size; i += S::kLanes) {
      const typename S::Vector value = S::load(x + i);
#pragma GCC unroll 4
      for (int64_t part = 0; part < 4; ++part) sums[part] += S::load(at + part * size + i) * value;
    }
    for (int64_t part = 0; part < 4; ++part) {
      T sum = S::total(sums[part]);
      for (int64_t rest = i; rest < size; ++rest) sum += at[part * size + rest] * x[rest];
      out[row + part] = sum;
    }
  }
  for (; row < count; ++row) {
    const T* at = rows + row * size;
    typename S::Vector sums = {};
    int64_t i = 0;
    for (; i + S::kLanes <= size; i += S::kLanes) sums += S::load(at + i) * S::load(x + i);
    T sum = S::total(sums);
    for (; i < size; ++i) sum += at[i] * x[i];
    out[row] = sum;
  }
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
void spread(int64_t count, int64_t size, T* rows, const T* a, const T* x, const T* b, const T* y) {
  for (int64_t row = 0; row < count; ++row) {
    T* to = rows + row * size;
#pragma GCC ivdep
    for (int64_t i = 0; i < size; ++i) to[i] += a[row] * x[i] + b[row] * y[i];
  }
}

template <typename T>
const Kernels<T>& table(const char* name) {
  static const Kernels<T> all{
      name, 2 * Simd<T>::kLanes, multiply<T>, gru<T>, gru_backward<T>, dots<T>, mix<T>, spread<T>};
  return all;
}
