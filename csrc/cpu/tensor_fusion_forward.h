// The forward pass of the tensor fusion.
#pragma once

#include "tensor_fusion_operands.h"

namespace mm_emotion {

template <typename T, typename S>
class Forward {
 public:
  Forward(const Fusion<T, S>& fusion_)
      : fusion(fusion_),
        use(fusion_kernels<T>()),
        blocks(ceiling(fusion.inner, kDeepest)),
        slabs(blocks * fusion.sizes[0]),
        chunks(fusion.tiles ? std::min(slabs, ceiling(kFewestTasks, fusion.tiles)) : 0),
        partial(chunks * fusion.rows * fusion.outputs) {}

  Tensor run(const Tensor& like, const std::optional<Tensor>& bias) {
    Tensor result = torch::stable::new_empty(like, std::vector<int64_t>{fusion.rows, fusion.outputs});
    S* out = writable<S>(result);
    torch::stable::parallel_for(0, fusion.tiles * chunks, 1, [&](int64_t begin, int64_t end) { tasks(begin, end); });
    const Rows<S> added(bias);
    const int64_t outputs = fusion.outputs, size = fusion.rows * outputs;
    torch::stable::parallel_for(0, fusion.rows, 32, [&](int64_t begin, int64_t end) {
      std::vector<T> sums(outputs);
      for (int64_t row = begin; row < end; ++row) {
        for (int64_t h = 0; h < outputs; ++h) sums[h] = added ? T(added.data[h]) : T(0);
        const T* from = partial.data() + row * outputs;
        for (int64_t chunk = 0; chunk < chunks; ++chunk, from += size)
          for (int64_t h = 0; h < outputs; ++h) sums[h] += from[h];
        for (int64_t h = 0; h < outputs; ++h) out[row * outputs + h] = S(sums[h]);
      }
    });
    return result;
  }

 private:
  static constexpr int64_t kDeepest = 2048 / sizeof(T);  // steps that leave a tile of X in the first cache

  // A task is a stretch of slabs, each one block of n at one i, for one tile of the batch.
  void tasks(int64_t begin, int64_t end) const {
    const int64_t outputs = fusion.outputs, columns = use.columns, most = fusion.most_rows();
    const int64_t deepest = ceiling(fusion.inner, blocks);
    Turned<T, S> turned(fusion, most);
    Buffer<T> x(deepest * most), panel(deepest * columns), wide(std::is_same_v<T, S> ? 0 : deepest * outputs);
    int64_t current_tile = -1, current_block = -1;
    for (int64_t task = begin; task < end; ++task) {
      const int64_t tile = task / chunks, chunk = task % chunks;
      const int64_t first = fusion.first_row(tile), rows = fusion.first_row(tile + 1) - first;
      if (tile != current_tile) turned.set(first, rows, rows), current_tile = tile, current_block = -1;
      T* y = partial.data() + (chunk * fusion.rows + first) * outputs;
      std::fill(y, y + rows * outputs, T(0));
      const int64_t last = part(slabs, chunk + 1, chunks);
      for (int64_t slab = part(slabs, chunk, chunks); slab < last; ++slab) {
        const int64_t block = slab / fusion.sizes[0], i = slab % fusion.sizes[0];
        const int64_t start = part(fusion.inner, block, blocks), depth = part(fusion.inner, block + 1, blocks) - start;
        if (block != current_block) pack(turned, start, depth, rows, x.data()), current_block = block;
        const T* w = widened<T>(weight(slab), depth * outputs, wide.data());
        const char* next = reinterpret_cast<const char*>(weight(slab + 1 < last ? slab + 1 : slab));
        for (int64_t h = 0; h < outputs; h += columns) {
          const int64_t width = std::min(columns, outputs - h);
          const T* from = w + h;
          if (width < columns) {
            for (int64_t step = 0; step < depth; ++step)
              std::copy_n(from + step * outputs, width, panel.data() + step * columns);
            from = panel.data();
          }
          const int64_t share = depth * width * static_cast<int64_t>(sizeof(S));
          use.accumulate(
              rows, depth, x.data(), from, width < columns ? columns : outputs, width, turned.x[0] + i * rows, y + h,
              outputs, {next, share});
          next += share;
        }
      }
    }
  }
  const S* weight(int64_t slab) const {
    const int64_t start = part(fusion.inner, slab / fusion.sizes[0], blocks);
    return fusion.weight.data + (slab % fusion.sizes[0] * fusion.inner + start) * fusion.outputs;
  }
  void pack(const Turned<T, S>& turned, int64_t start, int64_t depth, int64_t rows, T* x) const {
    const int64_t tiles = ceiling(rows, use.tile);
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t first = part(rows, tile, tiles), count = part(rows, tile + 1, tiles) - first;
      for (int64_t step = 0; step < depth; ++step, x += count) turned.product(start + step, first, count, x);
    }
  }

  const Fusion<T, S>& fusion;
  const FusionKernels<T>& use;
  int64_t blocks, slabs, chunks;
  Buffer<T> partial;
};

}  // namespace mm_emotion
