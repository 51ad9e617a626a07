// A linear layer on an outer product, on a device, for batches too small to fill matrix products.
//
// With factors t (B, I), a (B, J) and v (B, K), each extended by its 1, and r = (i, j, k) the rows of W (I, J, K, H):
//
//     c[b, r] = t[b, i] a[b, j] v[b, k]          made where it is needed, never stored
//     y = c W                                    each block reads its own rows of W once per batch tile
//     dW = c^T dy                                each element is written once
//     e[b, i, j] = sum_k v[b, k] (dy W^T)[b, r]  from which dt and da follow; dv likewise; dy W^T lives in a tile
//
// Two modalities are three with an empty one in the middle. Sums over blocks are made by a second kernel in fixed order.
#pragma once

#include "launch.h"
#include "number.h"

namespace mm_emotion::fusion {

constexpr int kThreads = 128;
constexpr int kLanes = 32;
constexpr int kWarps = kThreads / kLanes;
constexpr int kPerLane = 4;
constexpr int kColumns = kLanes * kPerLane;  // of a tile
constexpr int kStride = kColumns + kPerLane;  // of a tile in shared memory: staggers the banks of a transposed store
constexpr int kDepth = 16;  // values of the summed index in a tile
constexpr int kTall = 8, kFlat = 2;  // rows of the result per warp
constexpr int64_t kBlocks = 256;  // wanted at once
constexpr int64_t kSharedBytes = 96 * 1024;

template <typename T>
struct Given {
  using A = typename Wide<T>::type;

  const T* weight;  // (I, J, K, H)
  const A* factors;  // (I+J+K, B): t, a and v
  int64_t batch, outputs;
  uint32_t sizes[3];  // I, J, K
  Divisor per_j, per_k;

  Given(const T* weight_, const A* factors_, int64_t batch_, int64_t outputs_, const uint32_t (&sizes_)[3])
      : weight(weight_),
        factors(factors_),
        batch(batch_),
        outputs(outputs_),
        sizes{sizes_[0], sizes_[1], sizes_[2]},
        per_j(sizes_[1]),
        per_k(sizes_[2]) {}

  MM_HOST_DEVICE uint32_t pairs() const { return sizes[0] * sizes[1]; }
  MM_HOST_DEVICE uint32_t rows() const { return pairs() * sizes[2]; }
  MM_HOST_DEVICE A t(uint32_t i, int64_t b) const { return factors[i * batch + b]; }
  MM_HOST_DEVICE A a(uint32_t j, int64_t b) const { return factors[(sizes[0] + j) * batch + b]; }
  MM_HOST_DEVICE A v(uint32_t k, int64_t b) const { return factors[(sizes[0] + sizes[1] + k) * batch + b]; }
  MM_HOST_DEVICE A pair(uint32_t p, int64_t b) const {
    const uint32_t i = per_j.divide(p);
    return t(i, b) * a(p - i * sizes[1], b);
  }
  MM_HOST_DEVICE A coefficient(uint32_t row, int64_t b) const {
    const uint32_t p = per_k.divide(row);
    return pair(p, b) * v(row - p * sizes[2], b);
  }
};

// What a block multiplies, two tiles deep: one is read while the next is on its way.
template <typename T, int ROWS>
struct Shared {
  using A = typename Wide<T>::type;
  static constexpr int kRows = kWarps * ROWS;
  static constexpr size_t kBytes = 2 * kDepth * (kStride * sizeof(T) + kRows * sizeof(A));

  T* tile;  // (2, kDepth, kStride)
  A* coefficients;  // (2, kDepth, kRows)

  __device__ explicit Shared(char* bytes)
      : tile(reinterpret_cast<T*>(bytes)), coefficients(reinterpret_cast<A*>(tile + 2 * kDepth * kStride)) {}
};

// A tile (kDepth, kColumns) of a row-major matrix on its way through registers; beyond the matrix it is 0.
template <typename T>
struct StraightTile {
  const T* matrix;
  int64_t first, end, first_column, columns;  // first: of the rows that the block sums over
  bool vectors;

  static constexpr int kEach = kDepth * kColumns / kThreads;
  T held[kEach];

  __device__ StraightTile(const T* matrix_, int64_t first_, int64_t end_, int64_t first_column_, int64_t columns_)
      : matrix(matrix_),
        first(first_),
        end(end_),
        first_column(first_column_),
        columns(columns_),
        vectors(columns_ % kPerVector<T> == 0 && aligned(matrix_)) {}

  __device__ void load(int64_t depth) {
#pragma unroll
    for (int q = 0; q < kEach; q += kPerVector<T>) {
      const int at = q * kThreads + threadIdx.x * kPerVector<T>;
      const int64_t row = first + depth + at / kColumns, column = first_column + at % kColumns;
      const T* source = matrix + row * columns + column;
      Vector<T> vector;
      if (vectors && row < end && column < columns) {
        vector = *reinterpret_cast<const Vector<T>*>(source);
      } else {
#pragma unroll
        for (int n = 0; n < kPerVector<T>; ++n)
          vector.at[n] = row < end && column + n < columns ? source[n] : T(0);
      }
#pragma unroll
      for (int n = 0; n < kPerVector<T>; ++n) held[q + n] = vector.at[n];
    }
  }

  __device__ void store(T* tile) const {
#pragma unroll
    for (int q = 0; q < kEach; q += kPerVector<T>) {
      const int at = q * kThreads + threadIdx.x * kPerVector<T>;
#pragma unroll
      for (int n = 0; n < kPerVector<T>; ++n) tile[at / kColumns * kStride + at % kColumns + n] = held[q + n];
    }
  }
};

// The same of the transpose: the tile's columns are rows `first_row` and on of the matrix, summed over its columns.
template <typename T>
struct TransposedTile {
  const T* matrix;
  int64_t first_row, end_row, columns;
  bool vectors;

  static constexpr int kEach = kDepth * kColumns / kThreads;
  static constexpr int kInRow = kDepth / kPerVector<T>;
  T held[kEach];

  __device__ TransposedTile(const T* matrix_, int64_t first_row_, int64_t end_row_, int64_t columns_)
      : matrix(matrix_),
        first_row(first_row_),
        end_row(end_row_),
        columns(columns_),
        vectors(columns_ % kPerVector<T> == 0 && aligned(matrix_)) {}

  __device__ void load(int64_t depth) {
#pragma unroll
    for (int q = 0; q < kEach; q += kPerVector<T>) {
      const int at = q / kPerVector<T> * kThreads + threadIdx.x;
      const int64_t row = first_row + at / kInRow, column = depth + at % kInRow * kPerVector<T>;
      const T* source = matrix + row * columns + column;
      Vector<T> vector;
      if (vectors && row < end_row && column < columns) {
        vector = *reinterpret_cast<const Vector<T>*>(source);
      } else {
#pragma unroll
        for (int n = 0; n < kPerVector<T>; ++n)
          vector.at[n] = row < end_row && column + n < columns ? source[n] : T(0);
      }
#pragma unroll
      for (int n = 0; n < kPerVector<T>; ++n) held[q + n] = vector.at[n];
    }
  }

  __device__ void store(T* tile) const {
#pragma unroll
    for (int q = 0; q < kEach; q += kPerVector<T>) {
      const int at = q / kPerVector<T> * kThreads + threadIdx.x;
#pragma unroll
      for (int n = 0; n < kPerVector<T>; ++n)
        tile[(at % kInRow * kPerVector<T> + n) * kStride + at / kInRow] = held[q + n];
    }
  }
};

// sums[r][n] += over `depth` values: coefficient(value, row) of the warp's row r times column n of the lane. All threads
// of the block take part; it ends with a barrier.
template <int ROWS, typename T, typename Tile, typename Coefficient>
__device__ void multiply(
    const Shared<T, ROWS>& shared, Tile& tile, int64_t depth, const Coefficient& coefficient,
    typename Wide<T>::type (&sums)[ROWS][kPerLane]) {
  using A = typename Wide<T>::type;
  constexpr int kRows = Shared<T, ROWS>::kRows;
  constexpr int kEach = kDepth * kRows / kThreads;
  const int thread = threadIdx.x, lane = thread % kLanes, warp = thread / kLanes;
  A held[kEach];
  const auto load = [&](int64_t from) {
    tile.load(from);
#pragma unroll
    for (int q = 0; q < kEach; ++q) {
      const int at = q * kThreads + thread;
      held[q] = from + at / kRows < depth ? coefficient(from + at / kRows, at % kRows) : A(0);
    }
  };
  const auto store = [&](int half) {
    tile.store(shared.tile + half * kDepth * kStride);
#pragma unroll
    for (int q = 0; q < kEach; ++q) shared.coefficients[half * kDepth * kRows + q * kThreads + thread] = held[q];
  };
  load(0);
  store(0);
  __syncthreads();
  int half = 0;
  for (int64_t from = 0; from < depth; from += kDepth, half ^= 1) {
    const bool more = from + kDepth < depth;
    if (more) load(from + kDepth);
    const T* columns = shared.tile + half * kDepth * kStride + lane * kPerLane;
    const A* rows = shared.coefficients + half * kDepth * kRows + warp * ROWS;
#pragma unroll
    for (int d = 0; d < kDepth; ++d) {
      const auto column = *reinterpret_cast<const Pack<T, kPerLane>*>(columns + d * kStride);
#pragma unroll
      for (int r = 0; r < ROWS; ++r) {
        const A row = rows[d * kRows + r];
#pragma unroll
        for (int n = 0; n < kPerLane; ++n) sums[r][n] += row * A(column.at[n]);
      }
    }
    if (more) store(half ^ 1);
    __syncthreads();
  }
}

// (size, B) values of one modality, extended and turned so that neighbouring threads read neighbouring rows of a batch.
template <typename T>
struct Sources {
  const T *t, *a, *v;  // (B, size - 1)
};

template <typename T>
__global__ void __launch_bounds__(kThreads) extend(Given<T> given, Sources<T> from, typename Wide<T>::type* factors) {
  using A = typename Wide<T>::type;
  const int64_t values = (int64_t(given.sizes[0]) + given.sizes[1] + given.sizes[2]) * given.batch;
  const int64_t at = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= values) return;
  const int64_t place = at / given.batch, b = at % given.batch, of_t = given.sizes[0], of_ta = of_t + given.sizes[1];
  const int64_t first = place < of_t ? 0 : place < of_ta ? of_t : of_ta;
  const int64_t size = place < of_t ? given.sizes[0] : place < of_ta ? given.sizes[1] : given.sizes[2];
  const T* x = place < of_t ? from.t : place < of_ta ? from.a : from.v;
  factors[at] = place == first ? A(1) : A(x[b * (size - 1) + place - first - 1]);
}

// partial (splits, B, H): block z sums over its `each` rows of W.
template <int ROWS, typename T>
__global__ void __launch_bounds__(kThreads)
    forward_tile(Given<T> given, int64_t each, typename Wide<T>::type* partial) {
  using A = typename Wide<T>::type;
  const Shared<T, ROWS> shared(shared_bytes());
  const int64_t first = blockIdx.z * each, rows = least<int64_t>(each, given.rows() - first);
  const int64_t first_b = int64_t(blockIdx.y) * kWarps * ROWS, first_h = int64_t(blockIdx.x) * kColumns;
  StraightTile<T> tile(given.weight, first, first + rows, first_h, given.outputs);
  A sums[ROWS][kPerLane] = {};
  multiply<ROWS>(
      shared, tile, rows,
      [&](int64_t depth, int row) {
        const int64_t b = first_b + row;
        return b < given.batch ? given.coefficient(static_cast<uint32_t>(first + depth), b) : A(0);
      },
      sums);
  const int64_t h = first_h + threadIdx.x % kLanes * kPerLane;
#pragma unroll
  for (int r = 0; r < ROWS; ++r) {
    const int64_t b = first_b + threadIdx.x / kLanes * ROWS + r;
    if (b >= given.batch) continue;
    A* out = partial + (blockIdx.z * given.batch + b) * given.outputs + h;
    if (given.outputs % kPerLane == 0 && h < given.outputs) {
      Pack<A, kPerLane> vector;
#pragma unroll
      for (int n = 0; n < kPerLane; ++n) vector.at[n] = sums[r][n];
      *reinterpret_cast<Pack<A, kPerLane>*>(out) = vector;
    } else {
#pragma unroll
      for (int n = 0; n < kPerLane; ++n)
        if (h + n < given.outputs) out[n] = sums[r][n];
    }
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads) forward_sum(
    const typename Wide<T>::type* partial, int64_t splits, int64_t batch, int64_t outputs, const T* bias, T* out) {
  using A = typename Wide<T>::type;
  const int64_t at = int64_t(blockIdx.x) * kThreads + threadIdx.x, values = batch * outputs;
  if (at >= values) return;
  A sum = bias == nullptr ? A(0) : A(bias[at % outputs]);
#pragma unroll 4
  for (int64_t split = 0; split < splits; ++split) sum += partial[split * values + at];
  out[at] = T(sum);
}

// dW: a block has kWarps * kTall rows and kColumns outputs, and sums over the batch.
template <typename T>
__global__ void __launch_bounds__(kThreads) weight_tile(Given<T> given, const T* d_out, T* d_weight) {
  using A = typename Wide<T>::type;
  const Shared<T, kTall> shared(shared_bytes());
  const int64_t first = int64_t(blockIdx.x) * kWarps * kTall, first_h = int64_t(blockIdx.y) * kColumns;
  const int64_t rows = given.rows();
  StraightTile<T> tile(d_out, 0, given.batch, first_h, given.outputs);
  A sums[kTall][kPerLane] = {};
  multiply<kTall>(
      shared, tile, given.batch,
      [&](int64_t depth, int row) {
        return first + row < rows ? given.coefficient(static_cast<uint32_t>(first + row), depth) : A(0);
      },
      sums);
  const int64_t h = first_h + threadIdx.x % kLanes * kPerLane;
#pragma unroll
  for (int r = 0; r < kTall; ++r) {
    const int64_t row = first + threadIdx.x / kLanes * kTall + r;
    if (row >= rows) continue;
    T* out = d_weight + row * given.outputs + h;
    if (given.outputs % kPerLane == 0 && h < given.outputs) {
      Pack<T, kPerLane> vector;
#pragma unroll
      for (int n = 0; n < kPerLane; ++n) vector.at[n] = T(sums[r][n]);
      *reinterpret_cast<Pack<T, kPerLane>*>(out) = vector;
    } else {
#pragma unroll
      for (int n = 0; n < kPerLane; ++n)
        if (h + n < given.outputs) out[n] = T(sums[r][n]);
    }
  }
}

constexpr int kBatchTile = kWarps * kTall;
static_assert(kBatchTile == kLanes, "a lane has a row of the batch where the gradient of the factors is gathered");

// Shared memory of factor_tile: the tiles, over them the product (kColumns, kBatchTile + 1), and dv (K, kBatchTile).
template <typename T>
MM_HOST_DEVICE size_t factor_tiles_bytes() {
  const size_t product = kColumns * (kBatchTile + 1) * sizeof(typename Wide<T>::type);
  const size_t bytes = Shared<T, kTall>::kBytes > product ? Shared<T, kTall>::kBytes : product;
  return (bytes + 15) / 16 * 16;
}
template <typename T>
size_t factor_bytes(uint32_t last) {
  return factor_tiles_bytes<T>() + size_t(last) * kBatchTile * sizeof(typename Wide<T>::type);
}

// d_pairs (I*J, B), and partial (splits, K, B) of dv: block x has its own `each` pairs (i, j).
template <typename T>
__global__ void __launch_bounds__(kThreads) factor_tile(
    Given<T> given, const T* d_out, uint32_t each, typename Wide<T>::type* d_pairs, typename Wide<T>::type* partial) {
  using A = typename Wide<T>::type;
  char* bytes = shared_bytes();
  const Shared<T, kTall> shared(bytes);
  A* product = reinterpret_cast<A*>(bytes);
  A* d_v = reinterpret_cast<A*>(bytes + factor_tiles_bytes<T>());
  const int lane = threadIdx.x % kLanes;
  const uint32_t warp = threadIdx.x / kLanes, last = given.sizes[2];
  const int64_t first_b = int64_t(blockIdx.y) * kBatchTile, b = first_b + lane;
  const uint32_t begin = blockIdx.x * each * last, end = least(given.pairs(), (blockIdx.x + 1) * each) * last;
  for (uint32_t k = warp; k < last; k += kWarps) d_v[k * kBatchTile + lane] = 0;
  for (uint32_t first = begin; first < end; first += kColumns) {
    const uint32_t stop = least<uint32_t>(end, first + kColumns);
    TransposedTile<T> tile(given.weight, first, stop, given.outputs);
    A sums[kTall][kPerLane] = {};
    multiply<kTall>(
        shared, tile, given.outputs,
        [&](int64_t h, int row) {
          return first_b + row < given.batch ? A(d_out[(first_b + row) * given.outputs + h]) : A(0);
        },
        sums);
#pragma unroll
    for (int r = 0; r < kTall; ++r)
#pragma unroll
      for (int n = 0; n < kPerLane; ++n)
        product[(lane * kPerLane + n) * (kBatchTile + 1) + warp * kTall + r] = sums[r][n];
    __syncthreads();
    if (b < given.batch) {
      const uint32_t first_pair = given.per_k.divide(first), last_pair = given.per_k.divide(stop - 1);
      // A warp has every fourth pair, here and in the tile before, so that no one else adds to its sums.
      for (uint32_t p = first_pair + (warp - first_pair) % kWarps; p <= last_pair; p += kWarps) {
        const uint32_t start = p * last;
        A sum = start < first ? d_pairs[p * given.batch + b] : A(0);
        for (uint32_t row = start < first ? first : start; row < least(start + last, stop); ++row)
          sum += product[(row - first) * (kBatchTile + 1) + lane] * given.v(row - start, b);
        d_pairs[p * given.batch + b] = sum;
      }
      for (uint32_t k = warp; k < last; k += kWarps) {
        A sum = d_v[k * kBatchTile + lane];
        for (uint32_t p = first_pair; p <= last_pair; ++p) {
          const uint32_t row = p * last + k;
          if (row >= first && row < stop) sum += product[(row - first) * (kBatchTile + 1) + lane] * given.pair(p, b);
        }
        d_v[k * kBatchTile + lane] = sum;
      }
    }
    __syncthreads();
  }
  if (b >= given.batch) return;
  for (uint32_t k = warp; k < last; k += kWarps)
    partial[(int64_t(blockIdx.x) * last + k) * given.batch + b] = d_v[k * kBatchTile + lane];
}

template <typename T>
struct Targets {
  T* d_x[3];  // (B, size - 1); null where it is not needed
};

template <typename T>
__global__ void __launch_bounds__(kThreads) factor_sum(
    Given<T> given, const typename Wide<T>::type* d_pairs, const typename Wide<T>::type* partial, int64_t splits,
    Targets<T> to) {
  using A = typename Wide<T>::type;
  const int64_t at = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  const uint32_t *sizes = given.sizes, index = static_cast<uint32_t>(at / given.batch);
  const int64_t b = at % given.batch;
  A sum = 0;
  if (index < sizes[0]) {
    if (index == 0 || to.d_x[0] == nullptr) return;
    for (uint32_t j = 0; j < sizes[1]; ++j) sum += d_pairs[(index * sizes[1] + j) * given.batch + b] * given.a(j, b);
    to.d_x[0][b * (sizes[0] - 1) + index - 1] = T(sum);
  } else if (index < sizes[0] + sizes[1]) {
    const uint32_t j = index - sizes[0];
    if (j == 0 || to.d_x[1] == nullptr) return;
    for (uint32_t i = 0; i < sizes[0]; ++i) sum += d_pairs[(i * sizes[1] + j) * given.batch + b] * given.t(i, b);
    to.d_x[1][b * (sizes[1] - 1) + j - 1] = T(sum);
  } else if (index < sizes[0] + sizes[1] + sizes[2]) {
    const uint32_t k = index - sizes[0] - sizes[1];
    if (k == 0 || to.d_x[2] == nullptr) return;
    for (int64_t split = 0; split < splits; ++split) sum += partial[(split * sizes[2] + k) * given.batch + b];
    to.d_x[2][b * (sizes[2] - 1) + k - 1] = T(sum);
  }
}

// out (B, M, N) = left (B, M) times right (B, N); an extended side has its 1 in front and is given without it.
template <typename T>
__global__ void __launch_bounds__(kThreads) outer(
    const T* left, const T* right, int64_t batch, int64_t m, int64_t n, bool left_extended, bool right_extended, T* out) {
  using A = typename Wide<T>::type;
  const int64_t at = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= batch * m * n) return;
  const int64_t b = at / (m * n), row = at / n % m, column = at % n;
  const auto value = [&](const T* side, int64_t size, int64_t index, bool extended) {
    if (!extended) return A(side[b * size + index]);
    return index == 0 ? A(1) : A(side[b * (size - 1) + index - 1]);
  };
  out[at] = T(value(left, m, row, left_extended) * value(right, n, column, right_extended));
}

template <typename T>
int64_t factor_values(const Given<T>& given) {
  return (int64_t(given.sizes[0]) + given.sizes[1] + given.sizes[2]) * given.batch;
}

inline int rows_per_warp(int64_t batch) { return batch <= kWarps * kFlat ? kFlat : kTall; }

// Into how many parts the rows of W, or the pairs, are split.
template <typename T>
int64_t forward_each(const Given<T>& given) {
  const int64_t tiles =
      divide_up<int64_t>(given.outputs, kColumns) * divide_up<int64_t>(given.batch, kWarps * rows_per_warp(given.batch));
  const int64_t splits = divide_up<int64_t>(kBlocks, tiles < 1 ? 1 : tiles);
  const int64_t each = divide_up<int64_t>(given.rows(), splits);
  return divide_up<int64_t>(each < 4 * kDepth ? 4 * kDepth : each, kDepth) * kDepth;
}
template <typename T>
int64_t forward_splits(const Given<T>& given) {
  return divide_up<int64_t>(given.rows(), forward_each(given));
}
template <typename T>
uint32_t factor_each(const Given<T>& given) {
  const int64_t tiles = divide_up<int64_t>(given.batch, kBatchTile);
  const int64_t splits = divide_up<int64_t>(kBlocks, tiles < 1 ? 1 : tiles);
  const int64_t each = divide_up<int64_t>(given.pairs(), splits), least_each = divide_up<int64_t>(kColumns, given.sizes[2]);
  return static_cast<uint32_t>(each < least_each ? least_each : each);
}
template <typename T>
int64_t factor_splits(const Given<T>& given) {
  return divide_up<int64_t>(given.pairs(), factor_each(given));
}

// Whether run_factors has the shared memory it needs.
template <typename T>
bool factors_fit(uint32_t last) {
  return factor_bytes<T>(last) <= kSharedBytes;
}

template <typename T>
void run_extend(const Given<T>& given, const Sources<T>& from, typename Wide<T>::type* factors, Stream stream) {
  const dim3 grid(divide_up<int64_t>(factor_values(given), kThreads));
  launch(extend<T>, grid, kThreads, 0, stream, given, from, factors);
}

// partial: (forward_splits, B, H).
template <typename T>
void run_forward(const Given<T>& given, const T* bias, typename Wide<T>::type* partial, T* out, Stream stream) {
  const int64_t splits = forward_splits(given), each = forward_each(given);
  const bool flat = rows_per_warp(given.batch) == kFlat;
  const dim3 grid(
      divide_up<int64_t>(given.outputs, kColumns),
      divide_up<int64_t>(given.batch, kWarps * rows_per_warp(given.batch)), splits);
  if (flat) {
    launch(forward_tile<kFlat, T>, grid, kThreads, Shared<T, kFlat>::kBytes, stream, given, each, partial);
  } else {
    launch(forward_tile<kTall, T>, grid, kThreads, Shared<T, kTall>::kBytes, stream, given, each, partial);
  }
  const dim3 sum(divide_up<int64_t>(given.batch * given.outputs, kThreads));
  launch(forward_sum<T>, sum, kThreads, 0, stream, partial, splits, given.batch, given.outputs, bias, out);
}

template <typename T>
void run_weight(const Given<T>& given, const T* d_out, T* d_weight, Stream stream) {
  const dim3 grid(divide_up<int64_t>(given.rows(), kWarps * kTall), divide_up<int64_t>(given.outputs, kColumns));
  launch(weight_tile<T>, grid, kThreads, Shared<T, kTall>::kBytes, stream, given, d_out, d_weight);
}

template <typename T>
void run_outer(
    const T* left, const T* right, int64_t batch, int64_t m, int64_t n, bool left_extended, bool right_extended, T* out,
    Stream stream) {
  const dim3 grid(divide_up<int64_t>(batch * m * n, kThreads));
  launch(outer<T>, grid, kThreads, 0, stream, left, right, batch, m, n, left_extended, right_extended, out);
}

// d_pairs: (I*J, B). partial: (factor_splits, K, B).
template <typename T>
void run_factors(
    const Given<T>& given, const T* d_out, typename Wide<T>::type* d_pairs, typename Wide<T>::type* partial,
    const Targets<T>& to, Stream stream) {
  const int64_t splits = factor_splits(given);
  const dim3 grid(splits, divide_up<int64_t>(given.batch, kBatchTile));
  const size_t shared = factor_bytes<T>(given.sizes[2]);
  launch(factor_tile<T>, grid, kThreads, shared, stream, given, d_out, factor_each(given), d_pairs, partial);
  const dim3 sum(divide_up<int64_t>(factor_values(given), kThreads));
  launch(factor_sum<T>, sum, kThreads, 0, stream, given, d_pairs, partial, splits, to);
}

}  // namespace mm_emotion::fusion
