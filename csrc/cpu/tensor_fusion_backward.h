// The backward pass of the tensor fusion: gradients of the modalities, and of the weight.
#pragma once

#include "tensor_fusion_operands.h"

namespace mm_emotion {

// Gradients of the modalities. With Z_i[b,n] = dy[b] . W[i,n,:], that of x1[b,i] is Z_i . X, and that of X is
// sum_i x1[b,i] Z_i: both are formed as Z_i leaves the registers. Lanes are rows of the batch, so W is read as it lies.
template <typename T, typename S>
class ModalityGradients {
 public:
  ModalityGradients(const Fusion<T, S>& fusion_, const Tensor& d_out_)
      : fusion(fusion_),
        use(fusion_kernels<T>()),
        d_out(d_out_),
        blocks(ceiling(fusion.inner, 4 * use.tile)),
        chunks(fusion.tiles ? std::min(blocks, ceiling(kFewestTasks, fusion.tiles)) : 0),
        width(ceiling(fusion.most_rows(), use.columns) * use.columns),
        size((fusion.sizes[0] + fusion.sizes[1] + fusion.sizes[2]) * width),
        partial(fusion.tiles * chunks * size) {}

  std::vector<Tensor> run(const std::vector<Tensor>& xs, const std::vector<bool>& needs) {
    torch::stable::parallel_for(0, fusion.tiles * chunks, 1, [&](int64_t begin, int64_t end) { tasks(begin, end); });
    std::vector<Tensor> results;
    int64_t offset = 0;
    for (size_t m = 0; m < xs.size(); ++m) {
      const int64_t features = fusion.sizes[m] - 1;
      results.push_back(needs[m] ? fresh_like(xs[m], {fusion.rows, features}) : fresh_like(xs[m], {0}));
      if (needs[m]) collect(offset, features, writable<S>(results.back()));
      offset += fusion.sizes[m] * width;
    }
    return results;
  }

 private:
  static Tensor fresh_like(const Tensor& x, const std::vector<int64_t>& shape) {
    return torch::stable::new_empty(x, shape);
  }

  // A task is a stretch of the blocks of n for one tile of the batch; it leaves gradients (feature, row) of its own.
  void tasks(int64_t begin, int64_t end) const {
    const int64_t outputs = fusion.outputs, columns = use.columns, sizes = fusion.sizes[0];
    const int64_t deepest = ceiling(fusion.inner, blocks), panels = width / columns;
    Turned<T, S> turned(fusion, width);
    Buffer<T> dy(outputs * width), x(deepest * width), dx(deepest * width);
    Buffer<T> wide(std::is_same_v<T, S> ? 0 : deepest * outputs);
    int64_t current = -1;
    for (int64_t task = begin; task < end; ++task) {
      const int64_t tile = task / chunks, chunk = task % chunks;
      const int64_t first = fusion.first_row(tile), rows = fusion.first_row(tile + 1) - first;
      if (tile != current) turned.set(first, rows, width), turn(first, rows, dy.data()), current = tile;
      T *d_outer = partial.data() + task * size, *d_j = d_outer + sizes * width;
      T* d_k = d_j + fusion.sizes[1] * width;
      std::fill(d_outer, d_outer + size, T(0));
      for (int64_t block = part(blocks, chunk, chunks); block < part(blocks, chunk + 1, chunks); ++block) {
        const int64_t start = part(fusion.inner, block, blocks), count = part(fusion.inner, block + 1, blocks) - start;
        for (int64_t panel = 0; panel < panels; ++panel)
          for (int64_t n = 0; n < count; ++n)
            turned.product(start + n, panel * columns, columns, x.data() + (panel * count + n) * columns);
        std::fill(dx.data(), dx.data() + count * width, T(0));
        for (int64_t i = 0; i < sizes; ++i) {
          const S* from = fusion.weight.data + (i * fusion.inner + start) * outputs;
          const T* w = widened<T>(from, count * outputs, wide.data());
          const char* next = reinterpret_cast<const char*>(i + 1 < sizes ? from + fusion.inner * outputs : from);
          const int64_t share = count * outputs * static_cast<int64_t>(sizeof(S)) / panels;
          for (int64_t panel = 0; panel < panels; ++panel)
            use.contract(
                count, outputs, w, dy.data() + panel * outputs * columns, x.data() + panel * count * columns,
                turned.x[0] + i * width + panel * columns, d_outer + i * width + panel * columns,
                dx.data() + panel * count * columns, {next + panel * share, share});
        }
        for (int64_t panel = 0; panel < panels; ++panel)
          for (int64_t n = 0; n < count; ++n)
            divide(turned, start + n, panel * columns, dx.data() + (panel * count + n) * columns, d_j, d_k);
      }
    }
  }
  // The gradient of X[n] for some rows to those of its two factors.
  void divide(const Turned<T, S>& turned, int64_t n, int64_t first, const T* d, T* d_j, T* d_k) const {
    const int64_t at_j = n / fusion.sizes[2] * width + first, at_k = n % fusion.sizes[2] * width + first;
    const T *a = turned.x[1] + at_j, *v = turned.x[2] + at_k;
    for (int64_t row = 0; row < use.columns; ++row) d_j[at_j + row] += d[row] * v[row];
    for (int64_t row = 0; row < use.columns; ++row) d_k[at_k + row] += d[row] * a[row];
  }
  void turn(int64_t first, int64_t rows, T* dy) const {
    for (int64_t row = 0; row < width; ++row) {
      T* to = dy + row / use.columns * fusion.outputs * use.columns + row % use.columns;
      const S* from = d_out.data + (first + row) * fusion.outputs;
      for (int64_t h = 0; h < fusion.outputs; ++h) to[h * use.columns] = row < rows ? T(from[h]) : T(0);
    }
  }
  void collect(int64_t offset, int64_t features, S* out) const {
    torch::stable::parallel_for(0, fusion.tiles, 1, [&](int64_t begin, int64_t end) {
      std::vector<T> sums(width);
      for (int64_t tile = begin; tile < end; ++tile) {
        const int64_t first = fusion.first_row(tile), rows = fusion.first_row(tile + 1) - first;
        for (int64_t feature = 0; feature < features; ++feature) {
          std::fill(sums.begin(), sums.end(), T(0));
          const T* from = partial.data() + tile * chunks * size + offset + (feature + 1) * width;
          for (int64_t chunk = 0; chunk < chunks; ++chunk, from += size)
            for (int64_t row = 0; row < rows; ++row) sums[row] += from[row];
          for (int64_t row = 0; row < rows; ++row) out[(first + row) * features + feature] = S(sums[row]);
        }
      }
    });
  }

  const Fusion<T, S>& fusion;
  const FusionKernels<T>& use;
  Rows<S> d_out;
  int64_t blocks, chunks, width, size;
  Buffer<T> partial;
};

// dW[i,n,:] = sum_b x1[b,i] X[b,n] dy[b]: for a block of n, X of the whole batch is built once; for every i, dy is scaled.
template <typename T, typename S>
class WeightGradient {
 public:
  WeightGradient(const Fusion<T, S>& fusion_, const Tensor& d_out_)
      : fusion(fusion_), use(fusion_kernels<T>()), d_out(d_out_) {
    const int64_t fitting = kCached / static_cast<int64_t>(sizeof(T)) / std::max<int64_t>(1, fusion.rows) / use.tile;
    blocks = ceiling(fusion.inner, use.tile * std::clamp<int64_t>(fitting, 2, 16));
    groups = std::min<int64_t>(fusion.sizes[0], kFewestTasks / 4);
  }

  Tensor run(const Tensor& like) {
    const std::vector<int64_t> shape(like.sizes().begin(), like.sizes().end());
    // Not in large pages: on virtual machines whose host takes free memory back, they cost more than they save.
    Tensor result = torch::stable::new_empty(like, shape);
    S* out = writable<S>(result);
    torch::stable::parallel_for(0, blocks * groups, 1, [&](int64_t begin, int64_t end) { tasks(begin, end, out); });
    return result;
  }

 private:
  static constexpr int64_t kCached = 1 << 20;  // bytes of X
  static constexpr int64_t kDeepest = 512;     // rows of the batch multiplied at a time

  // A task is a block of n for a group of i, so that each thread writes, and first touches, memory of its own.
  void tasks(int64_t begin, int64_t end, S* out) const {
    const int64_t outputs = fusion.outputs, columns = use.columns, rows = fusion.rows;
    const int64_t most = ceiling(fusion.inner, blocks), panels = ceiling(outputs, columns);
    const int64_t stretches = std::max<int64_t>(1, ceiling(rows, kDeepest)), deepest = ceiling(rows, stretches);
    std::vector<T> line(most);
    Buffer<T> x(most * rows), dy(panels * columns * deepest), wide(std::is_same_v<T, S> ? 0 : most * outputs);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t group = task / blocks, block = task % blocks;
      const int64_t start = part(fusion.inner, block, blocks), count = part(fusion.inner, block + 1, blocks) - start;
      pack(start, count, stretches, line.data(), x.data());
      const int64_t last = part(fusion.sizes[0], group + 1, groups);
      for (int64_t i = part(fusion.sizes[0], group, groups); i < last; ++i) {
        S* to = out + (i * fusion.inner + start) * outputs;
        T* sums = target(to, wide.data());
        for (int64_t stretch = 0; stretch < stretches; ++stretch) {
          const int64_t first = part(rows, stretch, stretches), depth = part(rows, stretch + 1, stretches) - first;
          scale(i, first, depth, dy.data());
          for (int64_t panel = 0; panel < panels; ++panel)
            use.outer(
                count, depth, x.data() + first * count, dy.data() + panel * depth * columns, sums + panel * columns,
                outputs, std::min(columns, outputs - panel * columns), stretch > 0);
        }
        if constexpr (!std::is_same_v<T, S>) use.narrow(count * outputs, sums, reinterpret_cast<uint16_t*>(to));
      }
    }
  }
  static T* target(S* out, T* wide) {
    if constexpr (std::is_same_v<T, S>) return out;
    else return wide;
  }
  // Rows n of X, tiled, one stretch of the batch after the other; `line` is those of one row of the batch.
  void pack(int64_t start, int64_t count, int64_t stretches, T* line, T* x) const {
    for (int64_t stretch = 0; stretch < stretches; ++stretch) {
      const int64_t first = part(fusion.rows, stretch, stretches);
      const int64_t depth = part(fusion.rows, stretch + 1, stretches) - first;
      for (int64_t step = 0; step < depth; ++step) {
        fusion.product(first + step, start, count, line);
        use.pack(count, depth, step, line, x);
      }
      x += depth * count;
    }
  }
  void scale(int64_t i, int64_t first, int64_t depth, T* dy) const {
    const int64_t outputs = fusion.outputs, columns = use.columns;
    for (int64_t h = 0; h < outputs; h += columns) {
      const int64_t width = std::min(columns, outputs - h);
      for (int64_t row = first; row < first + depth; ++row, dy += columns) {
        const T factor = fusion.value(0, row, i);
        const S* from = d_out.data + row * outputs + h;
        for (int64_t column = 0; column < width; ++column) dy[column] = factor * T(from[column]);
        std::fill(dy + width, dy + columns, T(0));
      }
    }
  }

  const Fusion<T, S>& fusion;
  const FusionKernels<T>& use;
  Rows<S> d_out;
  int64_t blocks, groups;
};

}  // namespace mm_emotion
