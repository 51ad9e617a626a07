// Products of bfloat16 weights by the units for m16n8k16, sums in float32: which lane holds what. The vectors are the
// rows of the left matrix, 16 of them, and 8 rows of the weights the columns of the right one: a block that owns 8 units
// then wastes nothing.
#pragma once

#include "portable.h"

namespace mm_emotion::device {

constexpr int kLeft = 16, kRight = 8, kDeep = 16;  // rows, columns and width of a step
constexpr int kWideLeft = 2, kWideRight = 3;       // steps side by side, so that what is read is used more than once
constexpr int kParts = 2;                          // of the width, computed by warps of their own

MM_PORTABLE int padded_width(int width) { return groups_of(width, kDeep) * kDeep; }

// Where value `k` of row `row` of the weights is kept: each lane finds the four of a step side by side.
MM_PORTABLE int64_t matrix_place(int row, int k, int width) {
  const int64_t piece = static_cast<int64_t>(row / kRight) * (padded_width(width) / kDeep) + k / kDeep;
  const int within = k % kDeep, lane = row % kRight * 4 + within % 8 / 2;
  return piece * kRight * kDeep + lane * 4 + within / 8 * 2 + within % 2;
}

// Of the vectors a lane holds values of numbers lane / 4 and that plus 8: two from here on, and two 8 further on.
MM_PORTABLE int left_place(int step, int lane) { return step * kDeep + lane % 4 * 2; }

// Sum `i` of the four that a lane holds: which vector, which row of the weights.
MM_PORTABLE int sum_vector(int lane, int i) { return lane / 4 + i / 2 * 8; }
MM_PORTABLE int sum_row(int lane, int i) { return lane % 4 * 2 + i % 2; }

// Some packed rows, by pieces of 8, the vectors to multiply them with, a range of steps of the width, and where the sum
// of row r and vector i goes: out[r * stride + i].
struct MatrixTile {
  const Bfloat16* weights;
  const float* const* x;
  float* out;
  int stride, pieces, width, count, begin, end;

  MM_DEVICE void put(int row, int vector, float sum) const {
    if (row < pieces * kRight && vector < count) out[row * stride + vector] = sum;
  }
};

// The nearest bfloat16, of two the even one.
MM_PORTABLE uint16_t round_bfloat16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  if (value != value) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// Two values of a vector, 0 beyond its width.
template <typename Block>
MM_DEVICE uint32_t left_pair(Block& block, const MatrixTile& tile, const float* x, int k) {
  float low = 0, high = 0;
  if (k + 1 < tile.width) block.get_two(x + k, low, high);
  else if (k < tile.width) low = block.get(x + k);
  return block.pair(low, high);
}

}  // namespace mm_emotion::device
