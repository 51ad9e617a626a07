// Words that g++ and nvcc both understand: device code is written once, compiled for the card, and run by the tests.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define MM_PORTABLE __host__ __device__ inline
#define MM_DEVICE __device__ inline
#define MM_UNROLL _Pragma("unroll")
#else
#define MM_PORTABLE inline
#define MM_DEVICE inline
#define MM_UNROLL
#endif

namespace mm_emotion::device {

constexpr int kLanes = 32;

// The upper half of a float.
struct Bfloat16 {
  uint16_t bits;
  MM_PORTABLE operator float() const {
    const uint32_t wide = static_cast<uint32_t>(bits) << 16;
    float value;
    memcpy(&value, &wide, sizeof(value));
    return value;
  }
};

MM_PORTABLE int smaller(int a, int b) { return a < b ? a : b; }
MM_PORTABLE int larger(int a, int b) { return a < b ? b : a; }
MM_PORTABLE int clamp(int value, int least, int most) { return smaller(larger(value, least), most); }
MM_PORTABLE int groups_of(int count, int size) { return (count + size - 1) / size; }

// Consecutive pieces of memory, each on 16 bytes. From null it only counts what they take.
struct Carver {
  char* base;
  int64_t used = 0;
  template <typename T>
  MM_PORTABLE T* take(int64_t count) {
    T* piece = reinterpret_cast<T*>(base + used);
    used += (count * static_cast<int64_t>(sizeof(T)) + 15) / 16 * 16;
    return piece;
  }
};

}  // namespace mm_emotion::device
