// A block of threads of a card, as the programs of device/scan.h see it, and the launch of a grid of them. Not yet executed
// on a GPU; off by default, see scan.cuh. Built with -DMM_EMOTION_DEBUG (in MM_EMOTION_NVCCFLAGS) a block that waits for
// more than two seconds stops the program instead of hanging.
#pragma once

#include "../device/fold.h"
#include "../device/matrix.h"
#include "../device/softmax.h"
#include "stream.h"

namespace mm_emotion {

constexpr int kThreads = 256;

class ThreadBlock {
 public:
  __device__ int index() const { return blockIdx.x; }

  template <typename Body>
  __device__ void each(int count, const Body& body) {
    for (int i = threadIdx.x; i < count; i += kThreads) body(i);
    __syncthreads();
  }
  template <typename Body>
  __device__ void warps(int count, const Body& body) {
    for (int item = threadIdx.x / device::kLanes; item < count; item += kWarps) body(item, lane());
    __syncthreads();
  }
  template <int kCount, typename T, typename Body, typename Finish>
  __device__ void tiles(int count, const Body& body, const Finish& finish) {
    for (int tile = threadIdx.x / device::kLanes; tile < count; tile += kWarps) {
      T sums[kCount] = {};
      body(tile, lane(), sums);
      fold<kCount / 2, device::kLanes / 2>(sums);
      if (device::fold_first<kCount>(lane())) finish(tile, device::fold_place<kCount>(lane()), sums[0]);
    }
    __syncthreads();
  }
  template <typename T, typename Body, typename Finish>
  __device__ void peaks(int count, const Body& body, const Finish& finish) {
    for (int item = threadIdx.x / device::kLanes; item < count; item += kWarps) {
      device::Peak<T> peak = body(item, lane());
#pragma unroll
      for (int bit = device::kLanes / 2; bit > 0; bit /= 2)
        peak = combine(peak, device::Peak<T>{exchange(peak.top, bit), exchange(peak.sum, bit)});
      if (lane() == 0) finish(item, peak);
    }
    __syncthreads();
  }

  template <typename TileOf>
  __device__ void matrices(int count, const TileOf& tile_of) {
    using namespace device;
    for (int item = threadIdx.x / kLanes; item < count; item += kWarps) {
      const MatrixTile tile = tile_of(item);
      const int64_t piece = static_cast<int64_t>(padded_width(tile.width)) * kRight;
      for (int first = 0; first < tile.count; first += kWideLeft * kLeft) {
        float sums[kWideLeft][kWideRight][4] = {};
        const float* x[2 * kWideLeft];
#pragma unroll
        for (int i = 0; i < 2 * kWideLeft; ++i) x[i] = tile.x[smaller(first + i * 8 + lane() / 4, tile.count - 1)];
        for (int step = tile.begin; step < tile.end; ++step) {
          const int k = left_place(step, lane());
          uint2 right[kWideRight];
#pragma unroll
          for (int n = 0; n < kWideRight; ++n)
            if (n < tile.pieces)
              right[n] = *reinterpret_cast<const uint2*>(tile.weights + n * piece + step * kRight * kDeep + lane() * 4);
#pragma unroll
          for (int m = 0; m < kWideLeft; ++m) {
            if (first + m * kLeft >= tile.count) continue;
            const uint32_t a0 = left_pair(*this, tile, x[2 * m], k), a1 = left_pair(*this, tile, x[2 * m + 1], k);
            const uint32_t a2 = left_pair(*this, tile, x[2 * m], k + 8), a3 = left_pair(*this, tile, x[2 * m + 1], k + 8);
#pragma unroll
            for (int n = 0; n < kWideRight; ++n) {
              if (n >= tile.pieces) continue;
              float* to = sums[m][n];
              asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                  "{%0, %1, %2, %3};"
                  : "+f"(to[0]), "+f"(to[1]), "+f"(to[2]), "+f"(to[3])
                  : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(right[n].x), "r"(right[n].y));
            }
          }
        }
#pragma unroll
        for (int m = 0; m < kWideLeft; ++m) {
#pragma unroll
          for (int n = 0; n < kWideRight; ++n) {
#pragma unroll
            for (int i = 0; i < 4; ++i)
              tile.put(n * kRight + sum_row(lane(), i), first + m * kLeft + sum_vector(lane(), i), sums[m][n][i]);
          }
        }
      }
    }
    __syncthreads();
  }
  __device__ uint32_t pair(float low, float high) const {
    uint32_t both;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
  }

  // Never through the read-only cache, which would show what a line held before another block wrote it.
  template <typename T>
  __device__ T get(const T* from) const {
    __builtin_assume(__isGlobal(from));
    return *from;
  }
  __device__ void get_two(const float* from, float& low, float& high) const {
    __builtin_assume(__isGlobal(from));
    if (reinterpret_cast<uintptr_t>(from) % sizeof(float2) == 0) {
      const float2 both = *reinterpret_cast<const float2*>(from);
      low = both.x, high = both.y;
    } else {
      low = from[0], high = from[1];
    }
  }
  template <typename T>
  __device__ void put(T* to, T value) const {
    __builtin_assume(__isGlobal(to));
    *to = value;
  }
  template <typename W>
  __device__ W weight(const W* from) const {
    return *from;
  }
  template <typename W>
  __device__ void put_weight(W* to, W value) const {
    *to = value;
  }

  // The barrier at the end of every loop puts what all threads wrote before the release of one.
  __device__ void arrive(uint32_t* flag, uint32_t epoch) {
    if (threadIdx.x == 0) asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(flag), "r"(epoch) : "memory");
  }
  __device__ void wait(uint32_t* flags, int count, uint32_t epoch) {
    for (int i = threadIdx.x; i < count; i += kThreads) {
#ifdef MM_EMOTION_DEBUG
      const uint64_t begin = nanoseconds();
#endif
      uint32_t value;
      do {
        asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(flags + i) : "memory");
#ifdef MM_EMOTION_DEBUG
        if (nanoseconds() - begin > 2'000'000'000) __trap();
#endif
      } while (value < epoch);
    }
    __syncthreads();
  }

 private:
  static constexpr int kWarps = kThreads / device::kLanes;

  __device__ static int lane() { return threadIdx.x % device::kLanes; }
#ifdef MM_EMOTION_DEBUG
  __device__ static uint64_t nanoseconds() {
    uint64_t now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    return now;
  }
#endif
  template <typename T>
  __device__ static T exchange(T value, int bit) {
    return __shfl_xor_sync(0xffffffff, value, bit);
  }
  template <int kHalf, int kBit, int kCount, typename T>
  __device__ static void fold(T (&sums)[kCount]) {
    if constexpr (kHalf > 0) {
      const bool upper = (lane() & kBit) != 0;
      T values[kHalf];
      device::fold_send<kHalf>(sums, upper, values);
#pragma unroll
      for (int i = 0; i < kHalf; ++i) values[i] = exchange(values[i], kBit);
      device::fold_keep<kHalf>(sums, upper, values);
    } else if constexpr (kBit > 0) {
      sums[0] += exchange(sums[0], kBit);
    }
    if constexpr (kBit > 0) fold<kHalf / 2, kBit / 2>(sums);
  }
};

// Runs Program(block, arguments, shared memory).run() on every block; all must be resident, since they wait for others.
template <template <typename, typename, typename> class Program, typename W, typename T, typename Arguments>
__global__ void __launch_bounds__(kThreads, 1) walk(const __grid_constant__ Arguments arguments) {
  ThreadBlock block;
  device::Carver shared{shared_bytes()};
  Program<ThreadBlock, W, T>(block, arguments, shared).run();
}

template <typename Arguments>
void launch_together(void (*kernel)(Arguments), int blocks, int64_t shared, Stream stream, Arguments& arguments) {
  const void* function = reinterpret_cast<const void*>(kernel);
  check_cuda(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared)));
  void* parameters[] = {&arguments};
  check_cuda(cudaLaunchCooperativeKernel(function, dim3(blocks), dim3(kThreads), parameters, shared, stream));
}

}  // namespace mm_emotion
