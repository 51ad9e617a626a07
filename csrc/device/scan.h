// What the forward and the backward program of the DialogueRNN scan share: sizes, memory layouts, the order of walking,
// products, and the group of blocks that walks together. The equations stand in mm_emotion/ops/dialogue_rnn_scan.py.
//
// Blocks form groups, one for each direction and slice of the dialogues. A block owns some units of every state and
// computes them for all dialogues of its slice; it publishes them in global memory and waits for the group once an
// utterance, with a listener twice. What one block writes for others is written once, so that only a read before the
// write can go wrong, and that is what the barrier rules out.
//
// Not yet executed on a GPU; tests/cuda/test_scan_emulated.py proves them on emulated blocks.
//
// Programs speak to a `Block`, which is a block of threads on a card (cuda/block.cuh) or an emulated one in the tests.
// Every loop of it ends in a barrier of its threads:
//   each(count, body)             body(index)
//   warps(count, body)            body(item, lane), all lanes of a warp side by side
//   tiles<N>(count, body, finish) body(tile, lane, sums[N]), then finish(tile, which, sum over the lanes)
//   peaks(count, body, finish)    body(item, lane) -> Peak, then finish(item, peak of all lanes)
//   matrices(count, tile_of)      tile_of(index) -> MatrixTile, which is computed
//   get(pointer), put(pointer, value)  global memory
//   arrive(flag, epoch), wait(flags, count, epoch)  publishes what was put; sees what others published
#pragma once

#include <initializer_list>

#include "gru.h"
#include "matrix.h"
#include "softmax.h"

namespace mm_emotion::device {

constexpr int kTileRows = 4;

// Sums that a lane holds at once: as many as leave its registers room.
template <typename T>
constexpr int kSums = sizeof(T) == 8 ? 8 : 32;

enum Weight { kGq, kGh, kBgh, kPc, kPq, kBph, kEq, kBei, kEh, kBeh, kLs, kLh, kBlh, kWeights };

struct ScanSizes {
  int32_t directions, dialogues, steps, past, parties, g, p, e, listener;
  int32_t slices, members;  // groups of a direction, blocks of a group
  int32_t chunk;            // dialogues computed side by side
  int32_t resident;         // whether a block's weights stay in its shared memory

  MM_PORTABLE int64_t rows() const { return static_cast<int64_t>(dialogues) * steps; }
  MM_PORTABLE int share() const { return listener ? 13 : 10; }
  MM_PORTABLE int input_width() const { return 3 * g + (listener ? 6 : 3) * p; }
  MM_PORTABLE int keep_width() const { return g + p + e + (listener ? parties * p : 0); }
  MM_PORTABLE int most_dialogues() const { return groups_of(dialogues, slices); }
  MM_PORTABLE int most_units(int size) const { return groups_of(size, members); }
  MM_PORTABLE int blocks() const { return directions * slices * members; }
};

// Forward values of one direction, in a row for every cell of the batch. The first of them are what the weight
// gradients are made of; without `save` only what the scan itself reads again is there.
template <typename T>
struct ScanTrace {
  ScanTrace() = default;
  MM_PORTABLE ScanTrace(const ScanSizes& s, bool save, T* base) {
    const int64_t rows = s.rows();
    T* next = base;
    const auto take = [&](bool wanted, int64_t count) -> T* {
      if (!wanted) return nullptr;
      T* piece = next;
      next += count;
      return piece;
    };
    gates_g = take(save, rows * 4 * s.g), gates_p = take(save, rows * 4 * s.p), gates_e = take(save, rows * 4 * s.e);
    q_before = take(save, rows * s.p), q_after = take(true, rows * s.p), context = take(save, rows * s.g);
    g_before = take(save, rows * s.g), e_before = take(save, rows * s.e);
    gates_l = take(save && s.listener, rows * 4 * s.parties * s.p);
    party_before = take(s.listener, rows * s.parties * s.p);
    keys = take(true, rows * 3 * s.p), mixed = take(save, rows * 3 * s.p);
    past_keys = take(s.past > 0, static_cast<int64_t>(s.dialogues) * s.past * 3 * s.p);
    size = next - base;
  }
  T *gates_g, *gates_p, *gates_e, *q_before, *q_after, *context, *g_before, *e_before, *gates_l, *party_before;
  T *keys, *mixed, *past_keys;  // W_pc times every global state, times every context, times every given state
  int64_t size;
};

// Gradients of the sums of all gates of one direction, in the rows of the trace.
template <typename T>
struct ScanGates {
  ScanGates() = default;
  MM_PORTABLE ScanGates(const ScanSizes& s, T* base) {
    const int64_t rows = s.rows();
    g = base, p = g + rows * 4 * s.g, e = p + rows * 4 * s.p, l = e + rows * 4 * s.e;
    heard = l + (s.listener ? rows * 4 * s.parties * s.p : 0);
    size = heard - base + (s.listener ? rows * 3 * s.p : 0);
  }
  T *g, *p, *e, *l, *heard;
  int64_t size;
};

// Indices as the programs use them: in range, in the order of walking.
struct ScanOrder {
  MM_PORTABLE ScanOrder(const ScanSizes& s, int32_t* base) {
    dialogue = base, end = dialogue + s.dialogues, known = end + s.dialogues;
    speaker = known + s.dialogues, previous = speaker + s.rows();
    size = previous - base + s.directions * s.rows();
  }
  int32_t* dialogue;  // (B,) longest first
  int32_t* end;       // (B,) lengths
  int32_t* known;     // (B,) states of the history
  int32_t* speaker;   // (B, U)
  int32_t* previous;  // (R, B, U) where the same party was read last before, or -1
  int64_t size;
};

struct OrderArguments {
  ScanSizes sizes;
  const int64_t *speakers, *lengths, *history_lengths;
  int32_t* order;
};

MM_PORTABLE int read_index(const int64_t* values, int64_t at, int most) {
  return values[at] < 0 ? 0 : values[at] > most ? most : static_cast<int>(values[at]);
}

// One of the R * B * U cells, or of the B dialogues. Values out of range are taken to the nearest in range: a kernel
// cannot raise an error, and must not read where nothing is.
MM_PORTABLE void put_in_order(const OrderArguments& a, int64_t index) {
  const ScanSizes& s = a.sizes;
  const ScanOrder order(s, a.order);
  const auto end_of = [&](int64_t dialogue) { return read_index(a.lengths, dialogue, s.steps); };
  if (index < s.dialogues) {
    const int own = end_of(index);
    int rank = 0;
    for (int other = 0; other < s.dialogues; ++other) {
      const int end = end_of(other);
      rank += end > own || (end == own && other < index);
    }
    order.dialogue[rank] = static_cast<int32_t>(index);
    order.end[index] = own;
    order.known[index] = s.past ? read_index(a.history_lengths, index, s.past) : 0;
  }
  if (index >= s.directions * s.rows()) return;
  const int64_t row = index % s.rows(), dialogue = row / s.steps, first = dialogue * s.steps;
  const int at = static_cast<int>(row - first), end = end_of(dialogue), step = index < s.rows() ? -1 : 1;
  const auto speaker_at = [&](int position) { return read_index(a.speakers, first + position, s.parties - 1); };
  const int own = speaker_at(at);
  int previous = at + step;
  while (previous >= 0 && previous < end && speaker_at(previous) != own) previous += step;
  order.previous[index] = at < end && previous >= 0 && previous < end ? previous : -1;
  if (index < s.rows()) order.speaker[row] = own;
}

struct Units {
  int first, count;
};

// A matrix of a block and vectors to multiply it with: out[row * chunk + i] = weights[row] . x[i]. Rows lie one behind
// the other, those of bfloat16 as matrix.h has them.
template <typename W, typename T>
struct Product {
  const W* weights;
  int rows, width, count;
  const T* const* x;
  T* out;
};

// The product that a tile belongs to, and which of its own tiles that is; constant indices keep the list in registers.
template <typename W, typename T, int kProducts, typename TilesOf>
MM_DEVICE Product<W, T> find_product(const Product<W, T> (&products)[kProducts], const TilesOf& tiles_of, int& tile) {
  Product<W, T> found = products[0];
  int left = tile;
  bool open = true;
  MM_UNROLL
  for (int i = 0; i < kProducts; ++i) {
    const int count = tiles_of(products[i]);
    if (open) found = products[i], tile = left;
    open = open && left >= count;
    left -= count;
  }
  return found;
}

template <typename W, typename T, int kProducts, typename TilesOf>
MM_DEVICE int count_tiles(const Product<W, T> (&products)[kProducts], const TilesOf& tiles_of) {
  int total = 0;
  MM_UNROLL
  for (int i = 0; i < kProducts; ++i) total += tiles_of(products[i]);
  return total;
}

template <int kBatch, typename Block, typename W, typename T, int kProducts>
MM_DEVICE void multiply_by(Block& block, const Product<W, T> (&products)[kProducts], int chunk) {
  const auto tiles_of = [](const Product<W, T>& product) {
    return groups_of(product.rows, kTileRows) * groups_of(product.count, kBatch);
  };
  block.template tiles<kTileRows * kBatch, T>(
      count_tiles(products, tiles_of),
      [&](int tile, int lane, T* sums) {
        const Product<W, T> own = find_product(products, tiles_of, tile);
        const int across = groups_of(own.count, kBatch);
        const int row = tile / across * kTileRows, first = tile % across * kBatch;
        const W* weights[kTileRows];
        const T* x[kBatch];
        MM_UNROLL
        for (int i = 0; i < kTileRows; ++i)
          weights[i] = own.weights + static_cast<int64_t>(smaller(row + i, own.rows - 1)) * own.width;
        MM_UNROLL
        for (int i = 0; i < kBatch; ++i) x[i] = own.x[smaller(first + i, own.count - 1)];
        for (int k = lane; k < own.width; k += kLanes) {
          T left[kTileRows], right[kBatch];
          MM_UNROLL
          for (int i = 0; i < kTileRows; ++i) left[i] = static_cast<T>(block.weight(weights[i] + k));
          MM_UNROLL
          for (int i = 0; i < kBatch; ++i) right[i] = block.get(x[i] + k);
          MM_UNROLL
          for (int i = 0; i < kTileRows; ++i) {
            MM_UNROLL
            for (int j = 0; j < kBatch; ++j) sums[i * kBatch + j] += left[i] * right[j];
          }
        }
      },
      [&](int tile, int which, T sum) {
        const Product<W, T> own = find_product(products, tiles_of, tile);
        const int across = groups_of(own.count, kBatch);
        const int row = tile / across * kTileRows + which / kBatch, i = tile % across * kBatch + which % kBatch;
        if (row < own.rows && i < own.count) own.out[row * chunk + i] = sum;
      });
}

// Weights in bfloat16 go through the matrix units, in parts of the width whose sums go to `parts` first.
template <typename Block, int kProducts>
MM_DEVICE void multiply(
    Block& block, const Product<Bfloat16, float> (&products)[kProducts], int chunk, float* parts) {
  using Own = Product<Bfloat16, float>;
  const auto tiles_of = [](const Own& product) {
    return product.count > 0 ? groups_of(product.rows, kRight * kWideRight) * kParts : 0;
  };
  // Rows of sums of the products before one, in pieces of 8 for each part.
  const auto rows_before = [&](const Own& own) {
    int rows = 0;
    MM_UNROLL
    for (int i = 0; i < kProducts; ++i)
      if (products[i].out < own.out) rows += groups_of(products[i].rows, kRight) * kRight * kParts;
    return rows;
  };
  block.matrices(count_tiles(products, tiles_of), [&](int tile) {
    const Own own = find_product(products, tiles_of, tile);
    const int steps = padded_width(own.width) / kDeep, part = tile % kParts, piece = tile / kParts * kWideRight;
    const int pieces = groups_of(own.rows, kRight), row = rows_before(own) + (part * pieces + piece) * kRight;
    const Bfloat16* weights = own.weights + static_cast<int64_t>(piece) * steps * kRight * kDeep;
    return MatrixTile{weights, own.x, parts + row * chunk, chunk, smaller(kWideRight, pieces - piece), own.width,
                      own.count, steps * part / kParts, steps * (part + 1) / kParts};
  });
  MM_UNROLL
  for (int i = 0; i < kProducts; ++i) {
    const Own own = products[i];
    const int before = rows_before(own), padded = groups_of(own.rows, kRight) * kRight;
    block.each(own.rows * own.count, [&](int index) {
      const int row = index / own.count, at = index % own.count;
      float sum = 0;
      MM_UNROLL
      for (int part = 0; part < kParts; ++part) sum += parts[(before + part * padded + row) * chunk + at];
      own.out[row * chunk + at] = sum;
    });
  }
}

// One dialogue alone is a matter of latency, many are one of reading each weight for as many of them as possible.
template <typename Block, typename T, int kProducts>
MM_DEVICE void multiply(Block& block, const Product<T, T> (&products)[kProducts], int chunk, T*) {
  int most = 0;
  MM_UNROLL
  for (int i = 0; i < kProducts; ++i) most = larger(most, products[i].count);
  if (most <= 2) multiply_by<2>(block, products, chunk);
  else multiply_by<kSums<T> / kTileRows>(block, products, chunk);
}

// Values that the packed rows of a matrix take.
template <typename W>
MM_PORTABLE int64_t packed_values(int64_t rows, int width) {
  return rows * width;
}
template <>
MM_PORTABLE int64_t packed_values<Bfloat16>(int64_t rows, int width) {
  return (rows + kRight - 1) / kRight * kRight * padded_width(width);
}

// Values that `multiply` needs for parts of sums.
template <typename W>
MM_PORTABLE int64_t part_values(const ScanSizes&, std::initializer_list<int>) {
  return 0;
}
template <>
MM_PORTABLE int64_t part_values<Bfloat16>(const ScanSizes& s, std::initializer_list<int> rows) {
  int64_t all = 0;
  for (int own : rows) all += groups_of(own, kRight) * kRight * kParts;
  return all * s.chunk;
}

// Puts value `k` of row `row` where `multiply` reads it; behind the last one there are zeros.
template <typename Block, typename W>
MM_DEVICE void put_packed(Block& block, W* to, int row, int k, int width, W value) {
  block.put_weight(to + static_cast<int64_t>(row) * width + k, value);
}
template <typename Block>
MM_DEVICE void put_packed(Block& block, Bfloat16* to, int row, int k, int width, Bfloat16 value) {
  block.put_weight(to + matrix_place(row, k, width), value);
  for (int i = width; k == width - 1 && i < padded_width(width); ++i)
    block.put_weight(to + matrix_place(row, i, width), Bfloat16{0});
}

// The blocks that walk one slice of the dialogues in one direction, seen from one of them.
template <typename Block>
struct Group {
  MM_DEVICE Group(Block& block_, const ScanSizes& s_, int32_t* order_, Carver& shared, uint32_t* flags_)
      : block(block_), s(s_), order(s_, order_) {
    const int group = block.index() / s.members;
    member = block.index() % s.members, way = group % s.directions, slice = group / s.directions;
    flags = flags_ + group * s.members;
    count = (s.dialogues - slice + s.slices - 1) / s.slices;
    g = units(s.g), p = units(s.p), e = units(s.e);
    ends = shared.take<int32_t>(s.most_dialogues());
    who = shared.take<int32_t>(s.most_dialogues());
    block.each(count, [&](int i) {
      who[i] = order.dialogue[slice + i * s.slices];
      ends[i] = order.end[who[i]];
    });
  }
  MM_PORTABLE static void carve(const ScanSizes& s, Carver& shared) {
    shared.take<int32_t>(s.most_dialogues()), shared.take<int32_t>(s.most_dialogues());
  }
  MM_DEVICE Units units(int size) const {
    const int first = static_cast<int>(static_cast<int64_t>(member) * size / s.members);
    return {first, static_cast<int>((static_cast<int64_t>(member) + 1) * size / s.members) - first};
  }
  // How many dialogues of the slice, which has its longest first, are longer than `step`.
  MM_DEVICE int running(int step) const {
    int most = count, least = 0;
    while (least < most) {
      const int middle = (least + most) / 2;
      if (ends[middle] > step) least = middle + 1;
      else most = middle;
    }
    return least;
  }
  MM_DEVICE int position(int i, int step) const { return way == 1 ? ends[i] - 1 - step : step; }
  MM_DEVICE int64_t row(int i, int step) const { return static_cast<int64_t>(who[i]) * s.steps + position(i, step); }
  MM_DEVICE int64_t cell(int64_t row_) const { return way * s.rows() + row_; }
  MM_DEVICE int known(int i) const { return order.known[who[i]]; }
  // Work that belongs to the group as a whole goes round among its blocks.
  MM_DEVICE bool mine(int64_t item) const { return item % s.members == member; }
  // Publishes what this block has put, and waits until all blocks of the group have done so.
  MM_DEVICE void barrier() { arrive(), wait(); }
  MM_DEVICE void arrive() { block.arrive(flags + member, ++epoch); }
  MM_DEVICE void wait() { block.wait(flags, s.members, epoch); }
  // Zeroes the rows of padding of an array of the direction, (B, U, width) with rows `stride` apart.
  template <typename T>
  MM_DEVICE void clear_padding(T* values, int width, int64_t stride) {
    if (values == nullptr || width == 0) return;
    const int items = groups_of(count * s.steps, s.members);
    block.warps(items, [&](int item, int lane) {
      const int place = item * s.members + member;
      if (place >= count * s.steps) return;
      const int i = place / s.steps, at = place % s.steps;
      if (at < ends[i]) return;
      T* to = values + (static_cast<int64_t>(who[i]) * s.steps + at) * stride;
      for (int k = lane; k < width; k += kLanes) block.put(to + k, T(0));
    });
  }

  Block& block;
  const ScanSizes& s;
  const ScanOrder order;
  int member, way, slice, count;
  Units g, p, e;
  int32_t *ends, *who;
  uint32_t *flags, epoch = 0;
};

}  // namespace mm_emotion::device
