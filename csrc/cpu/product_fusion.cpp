// Product of experts in log space, one pass over the rows, a row in each lane; the formulas stand in mm_emotion/ops/product_fusion.py.
#include <torch/csrc/stable/library.h>
#include <torch/headeronly/util/BFloat16.h>

#include <algorithm>
#include <tuple>
#include <type_traits>
#include <vector>

#include "../checks.h"
#include "kernels.h"
#include "product_fusion.h"
#include "tensor_fusion.h"

namespace mm_emotion {
namespace {

constexpr int64_t kMostModalities = 8;
constexpr int64_t kRowsPerTask = 4096;  // whole blocks, whatever the number of lanes

template <typename T>
struct Accumulator {
  using type = float;
};
template <>
struct Accumulator<double> {
  using type = double;
};

// Rows of `width` values as they lie in memory, to and from blocks of lanes. bfloat16 is widened on the way.
template <typename T>
class Transposer {
  using A = typename Accumulator<T>::type;
  static constexpr bool kNarrow = !std::is_same_v<T, A>;

 public:
  explicit Transposer(int64_t width)
      : width_(width),
        lanes_(product_kernels<A>().lanes),
        wide_(kNarrow ? width * lanes_ : 0),
        turned_(width * lanes_ + lanes_),
        rows_(std::max(width, lanes_)) {}

  // Lanes behind the last of `count` rows repeat the first, or are 0.
  const A* read(const T* from, int64_t count, bool repeat) {
    const A* values = nullptr;
    if constexpr (kNarrow) {
      fusion_kernels<A>().widen(count * width_, reinterpret_cast<const uint16_t*>(from), wide_.data());
      values = wide_.data();
    } else {
      values = from;
    }
    for (int64_t r = 0; r < lanes_; ++r) rows_[r] = values + (r < count ? r : 0) * width_;
    kernels<A>().interleave(lanes_, width_, rows_.data(), turned_.data());
    if (!repeat)
      for (int64_t i = 0; i < width_; ++i)
        for (int64_t r = count; r < lanes_; ++r) turned_[i * lanes_ + r] = 0;
    return turned_.data();
  }

  void write(const A* block, int64_t count, T* to) {
    for (int64_t i = 0; i < width_; ++i) rows_[i] = block + i * lanes_;
    kernels<A>().interleave(width_, lanes_, rows_.data(), turned_.data());
    if constexpr (kNarrow) {
      fusion_kernels<A>().narrow(count * width_, turned_.data(), reinterpret_cast<uint16_t*>(to));
    } else {
      std::copy_n(turned_.data(), count * width_, to);
    }
  }

 private:
  int64_t width_, lanes_;
  std::vector<A> wide_, turned_;
  std::vector<const A*> rows_;
};

template <typename T>
struct Problem {
  using A = typename Accumulator<T>::type;

  int64_t rows, modalities, classes;
  Rows<T> log_probs;
  Rows<bool> mask;
  std::vector<A> weights, prior;

  Problem(
      const Tensor& log_probs_, const Tensor& weights_, const std::optional<Tensor>& log_prior,
      const std::optional<Tensor>& mask_)
      : modalities(log_probs_.size(log_probs_.dim() - 2)),
        classes(log_probs_.size(log_probs_.dim() - 1)),
        log_probs(log_probs_),
        mask(mask_),
        weights(values_of(Rows<T>(weights_), modalities)),
        prior(log_prior ? values_of(Rows<T>(log_prior), classes) : std::vector<A>()) {
    rows = 1;
    for (int64_t axis = 0; axis < log_probs_.dim() - 2; ++axis) rows *= log_probs_.size(axis);
  }

  static std::vector<A> values_of(const Rows<T>& from, int64_t count) {
    return std::vector<A>(from.data, from.data + count);
  }

  Experts<A> experts() const { return {modalities, classes, weights.data(), prior.empty() ? nullptr : prior.data()}; }

  // 1 or 0 for each modality of `count` rows, as a block; null without a mask.
  const A* present(int64_t row, int64_t count, std::vector<A>& block) const {
    if (!mask) return nullptr;
    const int64_t lanes = product_kernels<A>().lanes;
    block.assign(modalities * lanes, A(0));
    for (int64_t r = 0; r < count; ++r)
      for (int64_t m = 0; m < modalities; ++m) block[m * lanes + r] = A(mask.data[(row + r) * modalities + m]);
    return block.data();
  }
};

template <typename T>
Tensor forward(const Problem<T>& given, const Tensor& like, const std::vector<int64_t>& shape) {
  using A = typename Problem<T>::A;
  const ProductKernels<A>& use = product_kernels<A>();
  Tensor result = torch::stable::new_empty(like, shape);
  T* out = writable<T>(result);
  const int64_t classes = given.classes, width = given.modalities * classes;
  torch::stable::parallel_for(0, given.rows, kRowsPerTask, [&](int64_t begin, int64_t end) {
    Transposer<T> inputs(width), outputs(classes);
    std::vector<A> present, block(classes * use.lanes);
    for (int64_t row = begin; row < end; row += use.lanes) {
      const int64_t count = std::min(use.lanes, end - row);
      const A* log_probs = inputs.read(given.log_probs.data + row * width, count, true);
      use.fuse(given.experts(), log_probs, given.present(row, count, present), block.data());
      outputs.write(block.data(), count, out + row * classes);
    }
  });
  return result;
}

template <typename T>
std::tuple<Tensor, Tensor> backward(
    const Problem<T>& given, const Tensor& d_out_, const Tensor& log_probs, const Tensor& weights) {
  using A = typename Problem<T>::A;
  const ProductKernels<A>& use = product_kernels<A>();
  const Rows<T> d_out(d_out_);
  const int64_t classes = given.classes, modalities = given.modalities, width = modalities * classes;
  const std::vector<int64_t> shape(log_probs.sizes().begin(), log_probs.sizes().end());
  Tensor d_log_probs = torch::stable::new_empty(log_probs, shape);
  Tensor d_weights = torch::stable::new_empty(weights, std::vector<int64_t>{modalities});
  T* d_l = writable<T>(d_log_probs);
  // Each task has its own sums, added in order: the result does not depend on the number of threads.
  const int64_t tasks = (given.rows + kRowsPerTask - 1) / kRowsPerTask;
  std::vector<double> partial(tasks * modalities, 0.0);
  torch::stable::parallel_for(0, tasks, 1, [&](int64_t first, int64_t last) {
    Transposer<T> inputs(width), gradients(classes), results(width);
    std::vector<A> present, scratch(2 * classes * use.lanes), block(width * use.lanes);
    for (int64_t task = first; task < last; ++task) {
      const int64_t end = std::min(given.rows, (task + 1) * kRowsPerTask);
      for (int64_t row = task * kRowsPerTask; row < end; row += use.lanes) {
        const int64_t count = std::min(use.lanes, end - row);
        const A* values = inputs.read(given.log_probs.data + row * width, count, true);
        const A* d = gradients.read(d_out.data + row * classes, count, false);
        use.fuse_backward(
            given.experts(), values, given.present(row, count, present), d, scratch.data(), block.data(),
            partial.data() + task * modalities);
        results.write(block.data(), count, d_l + row * width);
      }
    }
  });
  T* d_w = writable<T>(d_weights);
  for (int64_t m = 0; m < modalities; ++m) {
    double sum = 0;
    for (int64_t task = 0; task < tasks; ++task) sum += partial[task * modalities + m];
    d_w[m] = T(A(sum));
  }
  return {d_log_probs, d_weights};
}

void check(
    const Tensor& log_probs, const Tensor& weights, const std::optional<Tensor>& log_prior,
    const std::optional<Tensor>& mask) {
  check_cpu("log_probs", log_probs);
  if (log_probs.dim() < 2) refuse("log_probs", "shape (..., M, C)");
  const int64_t modalities = log_probs.size(log_probs.dim() - 2), classes = log_probs.size(log_probs.dim() - 1);
  if (modalities > kMostModalities) refuse("log_probs", "at most ", kMostModalities, " modalities");
  if (classes == 0) refuse("log_probs", "at least one class");
  check_type("weights", weights, log_probs.scalar_type(), "of log_probs");
  check_shape("weights", weights, {modalities});
  if (log_prior) {
    check_type("log_prior", *log_prior, log_probs.scalar_type(), "of log_probs");
    check_shape("log_prior", *log_prior, {classes});
  }
  if (mask) {
    check_type("modality_mask", *mask, ScalarType::Bool, "bool");
    bool same = mask->dim() == log_probs.dim() - 1;
    for (int64_t axis = 0; same && axis < mask->dim(); ++axis) same = mask->size(axis) == log_probs.size(axis);
    if (!same) refuse("modality_mask", "the shape (..., M) of log_probs");
  }
}

template <typename Run>
auto with_type(const Tensor& tensor, const Run& run) {
  switch (tensor.scalar_type()) {
    case ScalarType::Float:
      return run(float());
    case ScalarType::Double:
      return run(double());
    case ScalarType::BFloat16:
      return run(c10::BFloat16(0.0f));
    default:
      refuse("log_probs", "float32, float64 or bfloat16");
  }
}

Tensor product_fusion(
    const Tensor& log_probs, const Tensor& weights, const std::optional<Tensor>& log_prior,
    const std::optional<Tensor>& mask) {
  check(log_probs, weights, log_prior, mask);
  return with_type(log_probs, [&](auto zero) {
    std::vector<int64_t> shape(log_probs.sizes().begin(), log_probs.sizes().end());
    shape.erase(shape.end() - 2);
    return forward(Problem<decltype(zero)>(log_probs, weights, log_prior, mask), log_probs, shape);
  });
}

std::tuple<Tensor, Tensor> product_fusion_backward(
    const Tensor& d_out, const Tensor& log_probs, const Tensor& weights,
    const std::optional<Tensor>& log_prior, const std::optional<Tensor>& mask) {
  check(log_probs, weights, log_prior, mask);
  check_type("d_out", d_out, log_probs.scalar_type(), "of log_probs");
  bool same = d_out.dim() == log_probs.dim() - 1 && d_out.size(d_out.dim() - 1) == log_probs.size(log_probs.dim() - 1);
  for (int64_t axis = 0; same && axis < d_out.dim() - 1; ++axis) same = d_out.size(axis) == log_probs.size(axis);
  if (!same) refuse("d_out", "the shape (..., C) of the result");
  return with_type(log_probs, [&](auto zero) {
    return backward(Problem<decltype(zero)>(log_probs, weights, log_prior, mask), d_out, log_probs, weights);
  });
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(mm_emotion, CPU, m) {
  m.impl("product_fusion", TORCH_BOX(&product_fusion));
  m.impl("product_fusion_backward", TORCH_BOX(&product_fusion_backward));
}

}  // namespace mm_emotion
