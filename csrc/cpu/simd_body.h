// Vectors of BYTES bytes and what they can do, for one instruction set: part of the other bodies.

template <typename T>
struct Simd {
  static constexpr int64_t kLanes = BYTES / sizeof(T);
  typedef T Vector __attribute__((vector_size(BYTES)));
  typedef T Unaligned __attribute__((vector_size(BYTES), aligned(alignof(T)), may_alias));

  static inline Vector load(const T* from) { return *reinterpret_cast<const Unaligned*>(from); }
  static inline void store(T* to, Vector value) { *reinterpret_cast<Unaligned*>(to) = value; }
  // The first `count` lanes; the others are 0, or are not stored.
  static inline Vector load(const T* from, int64_t count) {
    if (count >= kLanes) return load(from);
    T part[kLanes] = {};
    std::memcpy(part, from, count * sizeof(T));
    return load(part);
  }
  static inline void store(T* to, Vector value, int64_t count) {
    if (count >= kLanes) return store(to, value);
    T part[kLanes];
    store(part, value);
    std::memcpy(to, part, count * sizeof(T));
  }

  template <int HALF, size_t... LANE>
  static inline Vector fold(Vector value, std::index_sequence<LANE...>) {
    return value + __builtin_shufflevector(value, value, (LANE ^ HALF)...);
  }
  template <int HALF = kLanes / 2>
  static inline T total(Vector value) {
    if constexpr (HALF == 0) return value[0];
    else return total<HALF / 2>(fold<HALF>(value, std::make_index_sequence<kLanes>()));
  }

  // One round of a transpose: between each row and that HALF further down, squares of HALF by HALF change places.
  template <int HALF, size_t... LANE>
  static inline void swap_squares(Vector* rows, std::index_sequence<LANE...>) {
#pragma GCC unroll 16
    for (int row = 0; row < kLanes; ++row) {
      if (row & HALF) continue;
      const Vector above = rows[row], below = rows[row + HALF];
      rows[row] = __builtin_shufflevector(above, below, (LANE & HALF ? LANE - HALF + kLanes : LANE)...);
      rows[row + HALF] = __builtin_shufflevector(above, below, (LANE & HALF ? LANE + kLanes : LANE + HALF)...);
    }
  }
  template <int HALF = kLanes / 2>
  static inline void transpose(Vector* rows) {
    if constexpr (HALF > 0) {
      swap_squares<HALF>(rows, std::make_index_sequence<kLanes>());
      transpose<HALF / 2>(rows);
    }
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
// Cephes' logf, for normal numbers above 0: x = m 2^n with m about 1, a polynomial for log(m).
static inline Floats logarithm(Floats x) {
  const Ints bits = (Ints)x;
  const Floats half = (Floats)((bits & 0x007fffff) | 0x3f000000);
  const Floats n = __builtin_convertvector((bits >> 23) - 126, Floats) - (half < 0.70710678f ? Floats{} + 1.0f : Floats{});
  const Floats m = (half < 0.70710678f ? half + half : half) - 1.0f;
  Floats p = m * 7.0376836292e-2f - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  const Floats square = m * m;
  return n * 0.693359375f + (m + (p * m * square - n * 2.12194440e-4f - square * 0.5f));
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
static inline Doubles exponential(Doubles x) {
  for (size_t lane = 0; lane < BYTES / sizeof(double); ++lane) x[lane] = std::exp(x[lane]);
  return x;
}
static inline Doubles logarithm(Doubles x) {
  for (size_t lane = 0; lane < BYTES / sizeof(double); ++lane) x[lane] = std::log(x[lane]);
  return x;
}
static inline Doubles sigmoid(Doubles x) {
  for (size_t lane = 0; lane < BYTES / sizeof(double); ++lane) x[lane] = 1.0 / (1.0 + std::exp(-x[lane]));
  return x;
}
static inline Doubles hyperbolic_tangent(Doubles x) {
  for (size_t lane = 0; lane < BYTES / sizeof(double); ++lane) x[lane] = std::tanh(x[lane]);
  return x;
}
