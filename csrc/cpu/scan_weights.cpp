// Gradients of all weights of the scan, from what the forward and the backward pass kept: for each matrix one product over
// all packed rows.
#include <torch/csrc/stable/library.h>

#include <atomic>

#include "scan.h"

namespace mm_emotion {
namespace {

// For one gate, weight (size, width) = the transpose of d (rows, size) times x (rows, width). The bias, where there is one,
// is the weight of one more input that is always 1.
template <typename T>
struct Product {
  const T *d, *x;
  int64_t rows, stride, size, width;  // `stride` from one row of d to the next
  T *weight, *bias;
};

// The products of one GRU: of `input` the gates r, z, n are multiplied, of `state` r, z, h_n. In a row of `d` the gates
// h_n, r, z, n begin at 0, 1, 2 and 3 sizes.
template <typename T>
struct Gru {
  const T* d;
  int64_t rows, stride, size;
  std::vector<Product<T>>& products;

  void input(const T* x, int64_t width, const Tensor& weight, const Tensor* bias) const {
    for (int64_t gate = 0; gate < 3; ++gate) add(gate, gate + 1, x, width, weight, bias);
  }
  void state(const T* x, const Tensor& weight, const Tensor& bias) const {
    for (int64_t gate = 0; gate < 3; ++gate) add(gate, (gate + 1) % 3, x, size, weight, &bias);
  }
  void add(int64_t gate, int64_t part, const T* x, int64_t width, const Tensor& weight, const Tensor* bias) const {
    T* to_bias = bias ? writable<T>(*bias) + gate * size : nullptr;
    T* to_weight = writable<T>(weight) + gate * size * width;
    products.push_back({d + part * size, x, rows, stride, size, width, to_weight, to_bias});
  }
};

constexpr int64_t kHeight = 180, kDepth = 256;  // of a block: rows of the weight at once, and packed rows at a time

// Where one thread computes a block: what is multiplied fits into its second cache, a panel into the first.
template <typename T>
struct Desk {
  explicit Desk(int64_t columns, int64_t widest)
      : left((kDepth + 1) * (kHeight + columns)), panel((kDepth + 1) * columns),
        sums(kHeight * (widest + 2 * columns)) {}
  Buffer<T> left, panel, sums;
};

// The rows first to first + height of a product's weight.
template <typename T>
void multiply(const Product<T>& product, int64_t first, int64_t height, const Desk<T>& desk) {
  const Kernels<T>& use = kernels<T>();
  const int64_t columns = use.columns, width = product.width, tiles = (height + use.tile - 1) / use.tile;
  const int64_t panels = (width + (product.bias ? 1 : 0) + columns - 1) / columns;
  T *panel = desk.panel.data(), *sums = desk.sums.data();
  if (product.rows == 0) std::fill_n(sums, panels * height * columns, T(0));
  for (int64_t row = 0; row < product.rows; row += kDepth) {
    const int64_t depth = std::min(kDepth, product.rows - row);
    T* left = desk.left.data();
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t begin = height * tile / tiles, count = height * (tile + 1) / tiles - begin;
      use.gather(depth, product.stride, count, product.d + row * product.stride + first + begin, count, left);
      left += depth * count;
    }
    for (int64_t number = 0; number < panels; ++number) {
      const int64_t column = number * columns, count = std::clamp<int64_t>(width - column, 0, columns);
      use.gather(depth, width, count, product.x + row * width + column, columns, panel);
      if (product.bias && width < column + columns)
        for (int64_t i = 0; i < depth; ++i) panel[i * columns + width - column] = T(1);
      use.multiply(height, depth, desk.left.data(), panel, sums + number * height * columns, row > 0);
    }
  }
  for (int64_t row = 0; row < height; ++row) {
    const auto sum_of = [&](int64_t column) {
      return sums + (column / columns * height + row) * columns + column % columns;
    };
    T* to = product.weight + (first + row) * width;
    for (int64_t column = 0; column < width; column += columns)
      std::memcpy(to + column, sum_of(column), std::min(columns, width - column) * sizeof(T));
    if (product.bias) product.bias[first + row] = *sum_of(width);
  }
}

// Blocks owe nothing to each other, so that whoever is free takes the next.
template <typename T>
void multiply_all(const std::vector<Product<T>>& products) {
  struct Block {
    const Product<T>& product;
    int64_t first, height;
  };
  std::vector<Block> blocks;
  int64_t widest = 0;
  for (const Product<T>& product : products) {
    const int64_t count = (product.size + kHeight - 1) / kHeight;
    widest = std::max(widest, product.width);
    for (int64_t number = 0; number < count; ++number) {
      const int64_t first = product.size * number / count;
      blocks.push_back({product, first, product.size * (number + 1) / count - first});
    }
  }
  std::atomic<size_t> next{0};
  torch::stable::parallel_for(0, torch::stable::get_num_threads(), 1, [&](int64_t, int64_t) {
    const Desk<T> desk(kernels<T>().columns, widest);
    for (size_t number = next++; number < blocks.size(); number = next++)
      multiply(blocks[number].product, blocks[number].first, blocks[number].height, desk);
  });
}

template <typename T>
std::vector<Tensor> run(
    const ScanArguments& given, const Tensor& reserve, const Tensor& d_gates, ScalarType type, const char* name) {
  const Scan<T> scan(given, type, name);
  const int64_t cells = scan.dialogues * scan.steps, g = scan.g, p = scan.p, e = scan.e, rows = scan.rows;
  const int64_t width = cells * Trace<T>::width(scan), d_width = cells * Gates<T>::width(scan);
  check_type("reserve", reserve, type, name), check_shape("reserve", reserve, {scan.directions, width});
  check_type("d_gates", d_gates, type, name), check_shape("d_gates", d_gates, {scan.directions, d_width});
  const Rows<T> kept(reserve), of_gates(d_gates);
  std::vector<Tensor> d_weights;
  for (const Tensor& weight : given.weights) {
    const std::vector<int64_t> shape(weight.sizes().begin(), weight.sizes().end());
    d_weights.push_back(torch::stable::new_empty(weight, shape));
  }
  std::vector<Product<T>> products;
  for (int64_t way = 0; way < scan.directions; ++way) {
    const Trace<T> trace(scan, const_cast<T*>(kept.data) + way * width, rows);
    const Gates<T> gates(scan, const_cast<T*>(of_gates.data) + way * d_width);
    const Tensor* to = d_weights.data() + way * scan.share;
    const Gru<T> global{gates.g, rows, 4 * g, g, products}, party{gates.p, rows, 4 * p, p, products};
    global.input(trace.q_before, p, to[kGq], nullptr), global.state(trace.g_before, to[kGh], to[kBgh]);
    party.input(trace.context, g, to[kPc], nullptr), party.state(trace.q_before, to[kPq], to[kBph]);
    const Gru<T> emotion{gates.e, rows, 4 * e, e, products};
    emotion.input(trace.q_after, p, to[kEq], &to[kBei]), emotion.state(trace.e_before, to[kEh], to[kBeh]);
    if (!scan.listener) continue;
    const Gru<T> heard{gates.heard - p, rows, 3 * p, p, products};  // without h_n
    const Gru<T> listener{gates.l, rows * scan.parties, 4 * p, p, products};
    heard.input(trace.q_after, p, to[kLs], nullptr), listener.state(trace.party_before, to[kLh], to[kBlh]);
  }
  multiply_all(products);
  return d_weights;
}

std::vector<Tensor> dialogue_rnn_scan_weights(
    const Tensor& queries, const Tensor& speakers, const Tensor& lengths, const std::vector<Tensor>& weights,
    int64_t num_parties, const Tensor& reserve, const Tensor& d_gates) {
  const std::optional<Tensor> none;
  const ScanArguments given{queries, speakers, lengths, weights, none, 1.0, num_parties, none, none};
  if (queries.scalar_type() == ScalarType::Double)
    return run<double>(given, reserve, d_gates, ScalarType::Double, "float64");
  return run<float>(given, reserve, d_gates, ScalarType::Float, "float32");
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(mm_emotion, CPU, m) {
  m.impl("dialogue_rnn_scan_weights", TORCH_BOX(&dialogue_rnn_scan_weights));
}

}  // namespace mm_emotion
