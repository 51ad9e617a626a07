// A linear layer on the outer product of two or three modalities with a 1 each; the outer product never exists.
//
// y[b] = sum_i x1[b,i] sum_n X[b,n] W[i,n,:], X[b,n] = x2[b,j] x3[b,k], n = (j, k): X of a few rows is built once and kept
// in the cache while W passes by. The sums over n are short, and scaled by x1 they are added up: more exact than one long
// sum. How the work is cut depends on the sizes alone, so results do not depend on the number of threads.
#include <torch/csrc/stable/library.h>
#include <torch/headeronly/util/BFloat16.h>

#include <algorithm>
#include <tuple>
#include <type_traits>

#include "../checks.h"
#include "memory.h"
#include "tensor_fusion.h"

namespace mm_emotion {
namespace {

constexpr int64_t kMostRows = 256;  // of the batch, whose X stays in the second cache
constexpr int64_t kFewestTasks = 32;

int64_t ceiling(int64_t count, int64_t size) { return (count + size - 1) / size; }
int64_t part(int64_t count, int64_t index, int64_t parts) { return count * index / parts; }

// T computes, S is stored.
template <typename T, typename S>
struct Fusion {
  Fusion(const std::vector<Tensor>& modalities, const Tensor& weight_) : weight(weight_) {
    for (const Tensor& x : modalities) xs.emplace_back(x);
    const bool three = xs.size() == 3;
    rows = modalities[0].size(0);
    sizes[0] = weight_.size(0), sizes[1] = weight_.size(1), sizes[2] = three ? weight_.size(2) : 1;
    inner = sizes[1] * sizes[2];
    outputs = weight_.size(weight_.dim() - 1);
    tiles = ceiling(rows, kMostRows);
  }
  int64_t first_row(int64_t tile) const { return part(rows, tile, tiles); }
  int64_t most_rows() const { return tiles ? ceiling(rows, tiles) : 0; }

  // Modality m of `count` rows with its 1, rows innermost and `width` of them, the last ones 0.
  void turn(int64_t m, int64_t begin, int64_t count, int64_t width, T* out) const {
    for (int64_t i = 0; i < sizes[m]; ++i, out += width) {
      for (int64_t row = 0; row < count; ++row) out[row] = value(m, begin + row, i);
      std::fill(out + count, out + width, T(0));
    }
  }

  // Modality m of a row at i, its 1 included.
  T value(int64_t m, int64_t row, int64_t i) const { return i ? T(xs[m].data[row * (sizes[m] - 1) + i - 1]) : T(1); }

  // out[i] = X[start + i] of a row for i < count.
  void product(int64_t row, int64_t start, int64_t count, T* out) const {
    const S* last = xs.size() == 3 ? xs[2].data + row * (sizes[2] - 1) : nullptr;
    for (int64_t n = start; n < start + count;) {
      const T factor = value(1, row, n / sizes[2]);
      int64_t k = n % sizes[2];
      const int64_t end = std::min(sizes[2], k + start + count - n);
      n += end - k;
      if (k == 0) *out++ = factor, ++k;
      for (int64_t at = k; at < end; ++at) out[at - k] = factor * T(last[at - 1]);
      out += end - k;
    }
  }

  std::vector<Rows<S>> xs;
  Rows<S> weight;
  int64_t rows, sizes[3], inner, outputs, tiles;
};

// All modalities of some rows, turned.
template <typename T, typename S>
struct Turned {
  Turned(const Fusion<T, S>& fusion_, int64_t most)
      : fusion(fusion_), buffer((fusion.sizes[0] + fusion.sizes[1] + fusion.sizes[2]) * most) {}
  void set(int64_t begin, int64_t count, int64_t width_) {
    width = width_;
    x[0] = buffer.data(), x[1] = x[0] + fusion.sizes[0] * width, x[2] = x[1] + fusion.sizes[1] * width;
    for (int64_t m = 0; m < 3; ++m) fusion.turn(m, begin, count, width, x[m]);
  }
  // out[r] = X[n][first + r]
  void product(int64_t n, int64_t first, int64_t count, T* out) const {
    const T *a = x[1] + n / fusion.sizes[2] * width + first, *v = x[2] + n % fusion.sizes[2] * width + first;
    for (int64_t row = 0; row < count; ++row) out[row] = a[row] * v[row];
  }

  const Fusion<T, S>& fusion;
  Buffer<T> buffer;
  T* x[3];
  int64_t width = 0;
};

// Rows of the weight as T, a copy in `scratch` where they are stored otherwise.
template <typename T, typename S>
const T* widened(const S* from, int64_t count, T* scratch) {
  if constexpr (std::is_same_v<T, S>) {
    return from;
  } else {
    fusion_kernels<T>().widen(count, reinterpret_cast<const uint16_t*>(from), scratch);
    return scratch;
  }
}

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

void check(const std::vector<Tensor>& xs, const Tensor& weight) {
  check_cpu("weight", weight);
  if (xs.size() != 2 && xs.size() != 3) refuse("xs", "two or three modalities");
  if (weight.dim() != static_cast<int64_t>(xs.size()) + 1) refuse("weight", xs.size() + 1, " axes");
  for (size_t m = 0; m < xs.size(); ++m) {
    check_type("xs", xs[m], weight.scalar_type(), "of weight");
    if (weight.size(m) < 1) refuse("weight", "axes of at least 1, the index of a modality's 1");
    if (xs[m].dim() != 2) refuse("xs", "shape (B, features)");
    check_shape("xs", xs[m], {xs[0].size(0), weight.size(m) - 1});
  }
}

template <typename Run>
auto with_types(const Tensor& weight, const Run& run) {
  switch (weight.scalar_type()) {
    case ScalarType::Float:
      return run(float(), float());
    case ScalarType::Double:
      return run(double(), double());
    case ScalarType::BFloat16:
      return run(float(), c10::BFloat16(0.0f));
    default:
      refuse("weight", "float32, float64 or bfloat16");
  }
}

Tensor tensor_fusion_linear(
    const std::vector<Tensor>& xs, const Tensor& weight, const std::optional<Tensor>& bias) {
  check(xs, weight);
  if (bias) {
    check_type("bias", *bias, weight.scalar_type(), "of weight");
    check_shape("bias", *bias, {weight.size(weight.dim() - 1)});
  }
  return with_types(weight, [&](auto wide, auto stored) {
    const Fusion<decltype(wide), decltype(stored)> fusion(xs, weight);
    return Forward(fusion).run(weight, bias);
  });
}

std::tuple<std::vector<Tensor>, Tensor> tensor_fusion_linear_backward(
    const Tensor& d_out, const std::vector<Tensor>& xs, const Tensor& weight, const std::vector<bool>& needs) {
  check(xs, weight);
  check_type("d_out", d_out, weight.scalar_type(), "of weight");
  check_shape("d_out", d_out, {xs[0].size(0), weight.size(weight.dim() - 1)});
  if (needs.size() != xs.size() + 1) refuse("needs", xs.size() + 1, " values");
  return with_types(weight, [&](auto wide, auto stored) {
    const Fusion<decltype(wide), decltype(stored)> fusion(xs, weight);
    std::vector<Tensor> d_xs;
    if (std::any_of(needs.begin(), needs.end() - 1, [](bool needed) { return needed; })) {
      d_xs = ModalityGradients(fusion, d_out).run(xs, needs);
    } else {
      for (const Tensor& x : xs) d_xs.push_back(torch::stable::new_empty(x, std::vector<int64_t>{0}));
    }
    Tensor d_weight = needs.back() ? WeightGradient(fusion, d_out).run(weight)
                                   : torch::stable::new_empty(weight, std::vector<int64_t>{0});
    return std::tuple(std::move(d_xs), std::move(d_weight));
  });
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(mm_emotion, CPU, m) {
  m.impl("tensor_fusion_linear", TORCH_BOX(&tensor_fusion_linear));
  m.impl("tensor_fusion_linear_backward", TORCH_BOX(&tensor_fusion_linear_backward));
}

}  // namespace mm_emotion
