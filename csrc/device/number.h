// Number types and the small arithmetic that kernels share; for host and device.
#pragma once

#include <cstdint>
#include <limits>

#ifdef __CUDACC__
#define MM_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define MM_HOST_DEVICE inline
#endif

namespace mm_emotion {

// What sums of T are held in.
template <typename T>
struct Wide {
  using type = float;
};
template <>
struct Wide<double> {
  using type = double;
};

// Elements that are read and written at once, at most 16 bytes at a time.
template <typename T, int COUNT>
struct alignas(sizeof(T) * COUNT < 16 ? sizeof(T) * COUNT : 16) Pack {
  T at[COUNT];
};
template <typename T>
constexpr int kPerVector = 16 / sizeof(T);
template <typename T>
using Vector = Pack<T, kPerVector<T>>;

MM_HOST_DEVICE bool aligned(const void* address) { return reinterpret_cast<uintptr_t>(address) % 16 == 0; }

template <typename A>
constexpr A kInfinity = std::numeric_limits<A>::infinity();

template <typename A>
MM_HOST_DEVICE bool is_impossible(A log_probability) {
  return log_probability == -kInfinity<A>;
}

template <typename I>
MM_HOST_DEVICE I least(I one, I other) {
  return one < other ? one : other;
}

template <typename I>
MM_HOST_DEVICE I divide_up(I value, I by) {
  return (value + by - 1) / by;
}

// Division of numbers below 2^31 by one that is fixed: a multiplication by 2^(31+s)/d, rounded up, is exact for them.
struct Divisor {
  uint32_t value, factor, shift;

  explicit Divisor(uint32_t value_) : value(value_), shift(31) {
    while ((uint64_t(1) << (shift - 31)) < value) ++shift;
    factor = static_cast<uint32_t>(((uint64_t(1) << shift) + value - 1) / value);
  }
  MM_HOST_DEVICE uint32_t divide(uint32_t number) const {
    return static_cast<uint32_t>((uint64_t(number) * factor) >> shift);
  }
};

}  // namespace mm_emotion
