// The product of experts on a device: its formulas stand in mm_emotion/ops/product_fusion.py.
//
// Short rows go through shared memory, which a block fills and empties with 16-byte accesses, and have a thread each; long
// rows have a warp each, which reads them where they lie. Classes are read twice: for the normaliser, then for the result.
#pragma once

#include <cmath>

#include "launch.h"
#include "number.h"

namespace mm_emotion::product {

constexpr int kMostModalities = 8;
constexpr int kThreads = 128;
constexpr int kLanes = 32;
constexpr int kWarps = kThreads / kLanes;
constexpr int64_t kMostBlocks = 1024;  // of the backward pass: each leaves its own sum for every weight
constexpr int64_t kSharedBytes = 48 * 1024;

template <typename T>
struct Given {
  const T* log_probs;  // (rows, M, C)
  const T* weights;  // (M,)
  const T* log_prior;  // (C,) or null
  const bool* mask;  // (rows, M) or null
  int64_t rows;
  int modalities;
  int64_t classes;
};

// A thread's or a warp's row: `l` is (M, C) wherever it lies.
template <typename T>
struct Row {
  using A = typename Wide<T>::type;

  const Given<T>& given;
  const T* l;
  A weight[kMostModalities];  // 0 where the modality is absent
  A exponent = -1;

  MM_HOST_DEVICE Row(const Given<T>& given_, const T* l_, int64_t row) : given(given_), l(l_) {
#pragma unroll
    for (int m = 0; m < kMostModalities; ++m) {
      weight[m] = present(row, m) ? A(given.weights[m]) : A(0);
      exponent += weight[m];
    }
  }

  MM_HOST_DEVICE bool present(int64_t row, int m) const {
    return m < given.modalities && (given.mask == nullptr || given.mask[row * given.modalities + m]);
  }
  MM_HOST_DEVICE A prior(int64_t c) const { return given.log_prior == nullptr ? A(0) : A(given.log_prior[c]); }

  // Unnormalised log product, -inf for a class that is ruled out.
  MM_HOST_DEVICE A total(int64_t c) const {
    A sum = 0;
#pragma unroll
    for (int m = 0; m < kMostModalities; ++m)
      if (weight[m] != 0) sum += weight[m] * A(l[m * given.classes + c]);
    const A p = prior(c);
    return is_impossible(p) ? p : sum - exponent * p;
  }
};

// The sum of exp(total) as it grows, and of the gradient over the classes that are not ruled out.
template <typename A>
struct Mass {
  A top = -kInfinity<A>, sum = 0, gradient = 0;

  MM_HOST_DEVICE void add(A total, A d_out) {
    using std::exp;
    if (is_impossible(total)) return;
    if (total > top) {
      sum = sum * exp(top - total) + 1;
      top = total;
    } else {
      sum += exp(total - top);
    }
    gradient += d_out;
  }

  MM_HOST_DEVICE void merge(const Mass& other) {
    using std::exp;
    gradient += other.gradient;
    if (other.sum == 0) return;
    const A highest = sum == 0 || other.top > top ? other.top : top;
    sum = (sum == 0 ? A(0) : sum * exp(top - highest)) + other.sum * exp(other.top - highest);
    top = highest;
  }
};

// Every lane ends with what the warp has summed.
template <typename A>
__device__ void merge_lanes(Mass<A>& mass) {
  for (int step = kLanes / 2; step > 0; step /= 2) {
    Mass<A> other;
    other.top = __shfl_xor_sync(0xffffffffu, mass.top, step);
    other.sum = __shfl_xor_sync(0xffffffffu, mass.sum, step);
    other.gradient = __shfl_xor_sync(0xffffffffu, mass.gradient, step);
    mass.merge(other);
  }
}

// `STRIDE` lanes share a row; this is lane `lane` of them. `y` may be the first C values of the row itself.
template <int STRIDE, typename T>
__device__ void forward_row(const Row<T>& row, T* y, int lane) {
  using A = typename Wide<T>::type;
  using std::log;
  const int64_t classes = row.given.classes;
  Mass<A> mass;
  for (int64_t c = lane; c < classes; c += STRIDE) mass.add(row.total(c), 0);
  if (STRIDE > 1) merge_lanes(mass);
  const bool none_left = mass.sum == 0;
  const A norm = none_left ? log(A(classes)) : mass.top + log(mass.sum);
  for (int64_t c = lane; c < classes; c += STRIDE) y[c] = T((none_left ? A(0) : row.total(c)) - norm);
}

// `d` (M, C) may be the row itself. The gradients of the weights are added to `d_weights`.
template <int STRIDE, typename T>
__device__ void backward_row(
    const Row<T>& row, const T* d_out, T* d, int64_t index, int lane, double (&d_weights)[kMostModalities]) {
  using A = typename Wide<T>::type;
  using std::exp;
  const int64_t classes = row.given.classes;
  Mass<A> mass;
  for (int64_t c = lane; c < classes; c += STRIDE) mass.add(row.total(c), A(d_out[c]));
  if (STRIDE > 1) merge_lanes(mass);
  A own[kMostModalities] = {};
  for (int64_t c = lane; c < classes; c += STRIDE) {
    const A total = row.total(c);
    const A d_total = is_impossible(total) ? A(0) : A(d_out[c]) - exp(total - mass.top) / mass.sum * mass.gradient;
#pragma unroll
    for (int m = 0; m < kMostModalities; ++m) {
      if (m >= row.given.modalities) continue;
      const A l = A(row.l[m * classes + c]);
      d[m * classes + c] = T(row.weight[m] * d_total);
      if (row.present(index, m) && d_total != 0) own[m] += d_total * ((is_impossible(l) ? A(0) : l) - row.prior(c));
    }
  }
#pragma unroll
  for (int m = 0; m < kMostModalities; ++m) d_weights[m] += own[m];
}

// The rows of a block in shared memory, a thread's row at an odd distance from the next one's: no two in one bank.
struct Tile {
  Divisor width;
  int stride;

  explicit Tile(int64_t width_) : Tile(width_, width_) {}
  // Rows of `width` that lie in a tile of rows of `room`.
  Tile(int64_t width_, int64_t room) : width(static_cast<uint32_t>(width_)), stride(static_cast<int>(room | 1)) {}

  template <bool WRITE, typename T>
  __device__ void copy(T* rows, T* outside, int count) const {
    const uint32_t values = count * width.value;
    const uint32_t vectors = aligned(outside) ? values / kPerVector<T> : 0;
    for (uint32_t at = threadIdx.x; at < vectors; at += kThreads) {
      auto* vector = reinterpret_cast<Vector<T>*>(outside) + at;
      Vector<T> held;
      if (!WRITE) held = *vector;
      uint32_t row = width.divide(at * kPerVector<T>), column = at * kPerVector<T> - row * width.value;
#pragma unroll
      for (int n = 0; n < kPerVector<T>; ++n) {
        T& inside = rows[row * stride + column];
        if (WRITE) held.at[n] = inside;
        else inside = held.at[n];
        if (++column == width.value) column = 0, ++row;
      }
      if (WRITE) *vector = held;
    }
    for (uint32_t at = vectors * kPerVector<T> + threadIdx.x; at < values; at += kThreads) {
      const uint32_t row = width.divide(at);
      T& inside = rows[row * stride + at - row * width.value];
      if (WRITE) outside[at] = inside;
      else inside = outside[at];
    }
  }
};

template <typename T>
__global__ void __launch_bounds__(kThreads) forward_short(Given<T> given, Tile tile, Tile result, T* out) {
  T* rows = reinterpret_cast<T*>(shared_bytes());
  const int64_t first = int64_t(blockIdx.x) * kThreads;
  const int count = static_cast<int>(least<int64_t>(kThreads, given.rows - first)), thread = threadIdx.x;
  tile.copy<false>(rows, const_cast<T*>(given.log_probs) + first * tile.width.value, count);
  __syncthreads();
  if (thread < count) {
    T* own = rows + thread * tile.stride;
    forward_row<1>(Row<T>(given, own, first + thread), own, 0);
  }
  __syncthreads();
  result.copy<true>(rows, out + first * given.classes, count);
}

template <typename T>
__global__ void __launch_bounds__(kThreads) forward_long(Given<T> given, T* out) {
  const int64_t row = int64_t(blockIdx.x) * kWarps + threadIdx.x / kLanes;
  if (row >= given.rows) return;
  const T* l = given.log_probs + row * given.modalities * given.classes;
  forward_row<kLanes>(Row<T>(given, l, row), out + row * given.classes, threadIdx.x % kLanes);
}

// Sums of a block, in an order that does not depend on chance.
__device__ inline void leave_sums(double (&d_weights)[kMostModalities], int modalities, double* partial, char* shared) {
  double* sums = reinterpret_cast<double*>(shared);  // (kWarps, kMostModalities)
  __syncthreads();
#pragma unroll
  for (int m = 0; m < kMostModalities; ++m) {
    double sum = d_weights[m];
    for (int step = kLanes / 2; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if (threadIdx.x % kLanes == 0) sums[threadIdx.x / kLanes * kMostModalities + m] = sum;
  }
  __syncthreads();
  if (static_cast<int>(threadIdx.x) >= modalities) return;
  double sum = 0;
  for (int warp = 0; warp < kWarps; ++warp) sum += sums[warp * kMostModalities + threadIdx.x];
  partial[int64_t(blockIdx.x) * modalities + threadIdx.x] = sum;
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    backward_short(Given<T> given, Tile tile, Tile result, const T* d_out, T* d_log_probs, double* partial) {
  T* rows = reinterpret_cast<T*>(shared_bytes());
  T* d_rows = rows + kThreads * tile.stride;
  double d_weights[kMostModalities] = {};
  const int thread = threadIdx.x;
  for (int64_t first = int64_t(blockIdx.x) * kThreads; first < given.rows; first += int64_t(gridDim.x) * kThreads) {
    const int count = static_cast<int>(least<int64_t>(kThreads, given.rows - first));
    tile.copy<false>(rows, const_cast<T*>(given.log_probs) + first * tile.width.value, count);
    result.copy<false>(d_rows, const_cast<T*>(d_out) + first * given.classes, count);
    __syncthreads();
    if (thread < count) {
      T* own = rows + thread * tile.stride;
      const Row<T> row(given, own, first + thread);
      backward_row<1>(row, d_rows + thread * result.stride, own, first + thread, 0, d_weights);
    }
    __syncthreads();
    tile.copy<true>(rows, d_log_probs + first * tile.width.value, count);
    __syncthreads();
  }
  leave_sums(d_weights, given.modalities, partial, shared_bytes());
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    backward_long(Given<T> given, const T* d_out, T* d_log_probs, double* partial) {
  double d_weights[kMostModalities] = {};
  const int64_t size = given.modalities * given.classes;
  int64_t row = int64_t(blockIdx.x) * kWarps + threadIdx.x / kLanes;
  for (; row < given.rows; row += int64_t(gridDim.x) * kWarps) {
    const Row<T> here(given, given.log_probs + row * size, row);
    const T* dy = d_out + row * given.classes;
    backward_row<kLanes>(here, dy, d_log_probs + row * size, row, threadIdx.x % kLanes, d_weights);
  }
  leave_sums(d_weights, given.modalities, partial, shared_bytes());
}

// One block: thread m adds what all blocks left for weight m.
template <typename T>
__global__ void __launch_bounds__(kThreads) sum_weights(const double* partial, int64_t blocks, int modalities, T* d_weights) {
  double* sums = reinterpret_cast<double*>(shared_bytes());  // (kThreads,)
  const int thread = threadIdx.x;
  for (int m = 0; m < modalities; ++m) {
    double sum = 0;
    for (int64_t block = thread; block < blocks; block += kThreads) sum += partial[block * modalities + m];
    sums[thread] = sum;
    __syncthreads();
    for (int half = kThreads / 2; half > 0; half /= 2) {
      if (thread < half) sums[thread] += sums[thread + half];
      __syncthreads();
    }
    if (thread == 0) d_weights[m] = T(static_cast<typename Wide<T>::type>(sums[0]));
    __syncthreads();
  }
}

template <typename T>
bool is_short(const Given<T>& given) {
  const int64_t values = (given.modalities * given.classes | 1) + (given.classes | 1);
  return kThreads * values * static_cast<int64_t>(sizeof(T)) <= kSharedBytes;
}

template <typename T>
void run_forward(const Given<T>& given, T* out, Stream stream) {
  if (!is_short(given))
    return launch(
        forward_long<T>, dim3(divide_up<int64_t>(given.rows, kWarps)), kThreads, 0, stream, given, out);
  const Tile tile(given.modalities * given.classes), result(given.classes, given.modalities * given.classes);
  const dim3 grid(divide_up<int64_t>(given.rows, kThreads));
  launch(forward_short<T>, grid, kThreads, kThreads * tile.stride * sizeof(T), stream, given, tile, result, out);
}

// Blocks of the backward pass, each of which leaves M sums.
template <typename T>
int64_t backward_blocks(const Given<T>& given) {
  return least(kMostBlocks, divide_up<int64_t>(given.rows, is_short(given) ? kThreads : kWarps));
}

template <typename T>
void run_backward(
    const Given<T>& given, const T* d_out, T* d_log_probs, T* d_weights, double* partial, Stream stream) {
  const int64_t blocks = backward_blocks(given);
  const size_t sums = kWarps * kMostModalities * sizeof(double);
  if (is_short(given)) {
    const Tile tile(given.modalities * given.classes), result(given.classes);
    const size_t rows = kThreads * (tile.stride + result.stride) * sizeof(T);
    const size_t shared = rows > sums ? rows : sums;
    launch(
        backward_short<T>, dim3(blocks), kThreads, shared, stream, given, tile, result, d_out, d_log_probs, partial);
  } else {
    launch(backward_long<T>, dim3(blocks), kThreads, sums, stream, given, d_out, d_log_probs, partial);
  }
  const size_t shared = kThreads * sizeof(double);
  launch(sum_weights<T>, dim3(1), kThreads, shared, stream, partial, blocks, given.modalities, d_weights);
}

}  // namespace mm_emotion::product
