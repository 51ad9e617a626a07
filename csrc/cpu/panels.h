// The weight matrices of every GRU, packed as panels for the whole of a pass.
#pragma once

#include <cstring>
#include <utility>

#include "scan.h"

namespace mm_emotion {

// W (3 size, width), rows in the gate order r, z, n, `stride` values apart.
template <typename T>
struct Matrix {
  const T* weight;
  int64_t stride, size, width;
};

enum class Direction { forward, backward };

// Forward, rows of `width` values are multiplied by the transpose of one gate's rows; backward, rows of `size` values by
// these themselves. Either way a block is a panel's columns of the product. So few rows that reading the weights as they
// lie costs less than packing them are multiplied directly.
template <typename T>
class Panels {
 public:
  Panels(const Scan<T>& scan, std::vector<Matrix<T>> all, Direction direction_)
      : columns(use.columns),
        matrices(std::move(all)),
        direction(direction_),
        direct(direction == Direction::forward && (scan.dialogues <= 2 || scan.rows <= 8)),
        buffer(plan()) {
    if (direct) return;
    const std::vector<T> zeros(largest(), T(0));
    torch::stable::parallel_for(0, first.back(), 1, [&](int64_t begin, int64_t end) {
      size_t index = 0;
      for (int64_t panel = begin; panel < end; ++panel) {
        while (panel >= first[index + 1]) ++index;
        fill(index, (panel - first[index]) % 3, (panel - first[index]) / 3, zeros.data());
      }
    });
  }
  // Columns of a product, and blocks of them.
  int64_t size(size_t index) const {
    return direction == Direction::forward ? matrices[index].size : matrices[index].width;
  }
  int64_t blocks(size_t index) const { return (size(index) + columns - 1) / columns; }
  int64_t pack_size(int64_t m, int64_t k) const { return direct ? 0 : m * k + columns; }
  void pack(int64_t m, int64_t k, const T* const* rows, int64_t first, T* packed) const {
    if (!direct) use.pack(m, k, rows, first, packed);
  }
  // c (m, columns) = or += rows times a block of one gate
  void multiply(size_t index, int64_t gate, int64_t block, int64_t m, const T* const* rows, const T* packed, T* c,
                bool add) const {
    const Matrix<T>& matrix = matrices[index];
    if (!direct) return use.multiply(m, depth(matrix), packed, at(index, gate, block), c, add);
    const int64_t begin = block * columns, count = std::min(columns, matrix.size - begin);
    const T* weight = matrix.weight + (gate * matrix.size + begin) * matrix.stride;
    T sums[64];
    for (int64_t row = 0; row < m; ++row) {
      use.dots(count, matrix.width, matrix.stride, weight, rows[row], sums);
      for (int64_t i = 0; i < count; ++i) c[row * columns + i] = add ? c[row * columns + i] + sums[i] : sums[i];
    }
  }

  const Kernels<T>& use = kernels<T>();
  const int64_t columns;

 private:
  int64_t depth(const Matrix<T>& matrix) const {
    return direction == Direction::forward ? matrix.width : matrix.size;
  }
  T* at(size_t index, int64_t gate, int64_t block) const {
    return buffer.data() + starts[index] + (block * 3 + gate) * depth(matrices[index]) * columns;
  }
  int64_t largest() const {
    int64_t most = 0;
    for (const Matrix<T>& matrix : matrices) most = std::max(most, depth(matrix));
    return most;
  }
  int64_t plan() {
    if (direct) return 0;
    int64_t size = 0;
    first.push_back(0);
    for (size_t index = 0; index < matrices.size(); ++index) {
      starts.push_back(size);
      first.push_back(first.back() + 3 * blocks(index));
      size += 3 * blocks(index) * depth(matrices[index]) * columns;
    }
    return size;
  }
  void fill(size_t index, int64_t gate, int64_t block, const T* zeros) {
    const auto [weight, stride, rows_of_gate, width] = matrices[index];
    const int64_t begin = block * columns;
    T* to = at(index, gate, block);
    if (direction == Direction::forward) {
      const T* rows[64];
      for (int64_t i = 0; i < columns; ++i)
        rows[i] = begin + i < rows_of_gate ? weight + (gate * rows_of_gate + begin + i) * stride : zeros;
      return use.interleave(columns, width, rows, to);
    }
    const int64_t count = std::min(columns, width - begin);
    for (int64_t row = 0; row < rows_of_gate; ++row, to += columns) {
      std::memcpy(to, weight + (gate * rows_of_gate + row) * stride + begin, count * sizeof(T));
      std::fill(to + count, to + columns, T(0));
    }
  }

  std::vector<Matrix<T>> matrices;
  Direction direction;
  bool direct;
  std::vector<int64_t> starts, first;
  Buffer<T> buffer;
};

// Which matrix is whose, in the list of one direction of the scan.
enum Product { kGlobalInput, kGlobalState, kPartyInput, kPartyState, kEmotionInput, kEmotionState, kHeard, kListener };
constexpr bool of_state(Product product) { return product % 2 == 1; }

template <typename T>
std::vector<Matrix<T>> matrices(const Scan<T>& scan) {
  std::vector<Matrix<T>> all;
  const auto add = [&](int64_t way, Weight which, int64_t size, int64_t width) {
    all.push_back({scan.weight(way, which), scan.stride(way, which), size, width});
  };
  const int64_t g = scan.g, p = scan.p, e = scan.e;
  for (int64_t way = 0; way < scan.directions; ++way) {
    add(way, kGq, g, p), add(way, kGh, g, g), add(way, kPc, p, g), add(way, kPq, p, p);
    add(way, kEq, e, p), add(way, kEh, e, e);
    if (scan.listener) add(way, kLs, p, p), add(way, kLh, p, p);
  }
  return all;
}

}  // namespace mm_emotion
