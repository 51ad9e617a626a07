// Product of experts in log space, one pass over the rows; the formulas stand in mm_emotion/ops/product_fusion.py.
#include <torch/csrc/stable/library.h>
#include <torch/headeronly/util/BFloat16.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <vector>

#include "../checks.h"

namespace mm_emotion {
namespace {

constexpr int64_t kMostModalities = 8;
constexpr int64_t kRowsPerTask = 4096;

template <typename T>
struct Accumulator {
  using type = float;
};
template <>
struct Accumulator<double> {
  using type = double;
};

template <typename T>
struct Problem {
  using A = typename Accumulator<T>::type;

  int64_t rows, modalities, classes;
  Rows<T> log_probs, weights, log_prior;
  Rows<bool> mask;

  Problem(
      const Tensor& log_probs_, const Tensor& weights_, const std::optional<Tensor>& log_prior_,
      const std::optional<Tensor>& mask_)
      : modalities(log_probs_.size(log_probs_.dim() - 2)),
        classes(log_probs_.size(log_probs_.dim() - 1)),
        log_probs(log_probs_),
        weights(weights_),
        log_prior(log_prior_),
        mask(mask_) {
    rows = 1;
    for (int64_t axis = 0; axis < log_probs_.dim() - 2; ++axis) rows *= log_probs_.size(axis);
  }

  bool present(int64_t row, int64_t m) const { return !mask || mask.data[row * modalities + m]; }
  A prior(int64_t c) const { return log_prior ? A(log_prior.data[c]) : A(0); }
  const T* of(int64_t row, int64_t m) const { return log_probs.data + (row * modalities + m) * classes; }

  // Unnormalised log product of one row, and its largest entry.
  A sum(int64_t row, A* total) const {
    A exponent = -1;
    std::fill(total, total + classes, A(0));
    for (int64_t m = 0; m < modalities; ++m) {
      const A weight = A(weights.data[m]);
      if (!present(row, m) || weight == 0) continue;
      exponent += weight;
      const T* l = of(row, m);
      for (int64_t c = 0; c < classes; ++c) total[c] += weight * A(l[c]);
    }
    A top = -std::numeric_limits<A>::infinity();
    for (int64_t c = 0; c < classes; ++c) {
      if (log_prior) total[c] = std::isinf(prior(c)) ? prior(c) : total[c] - exponent * prior(c);
      top = std::max(top, total[c]);
    }
    return top;
  }
};

template <typename T>
Tensor forward(const Problem<T>& given, const Tensor& like, const std::vector<int64_t>& shape) {
  using A = typename Problem<T>::A;
  Tensor result = torch::stable::new_empty(like, shape);
  T* out = writable<T>(result);
  const int64_t classes = given.classes;
  torch::stable::parallel_for(0, given.rows, kRowsPerTask, [&](int64_t begin, int64_t end) {
    std::vector<A> total(classes);
    for (int64_t row = begin; row < end; ++row) {
      const A top = given.sum(row, total.data());
      T* y = out + row * classes;
      if (top == -std::numeric_limits<A>::infinity()) {
        std::fill(y, y + classes, T(-std::log(A(classes))));
        continue;
      }
      A mass = 0;
      for (int64_t c = 0; c < classes; ++c) mass += std::exp(total[c] - top);
      const A norm = top + std::log(mass);
      for (int64_t c = 0; c < classes; ++c) y[c] = T(total[c] - norm);
    }
  });
  return result;
}

template <typename T>
std::tuple<Tensor, Tensor> backward(
    const Problem<T>& given, const Tensor& d_out_, const Tensor& log_probs, const Tensor& weights) {
  using A = typename Problem<T>::A;
  const Rows<T> d_out(d_out_);
  const int64_t classes = given.classes, modalities = given.modalities;
  const std::vector<int64_t> shape(log_probs.sizes().begin(), log_probs.sizes().end());
  Tensor d_log_probs = torch::stable::new_empty(log_probs, shape);
  Tensor d_weights = torch::stable::new_empty(weights, std::vector<int64_t>{modalities});
  T* d_l = writable<T>(d_log_probs);
  // Each block of rows has its own sums, added in order: the result does not depend on the number of threads.
  const int64_t blocks = (given.rows + kRowsPerTask - 1) / kRowsPerTask;
  std::vector<double> partial(blocks * modalities, 0.0);
  torch::stable::parallel_for(0, blocks, 1, [&](int64_t first, int64_t last) {
    std::vector<A> total(classes), d_total(classes);
    for (int64_t block = first; block < last; ++block) {
      const int64_t end = std::min(given.rows, (block + 1) * kRowsPerTask);
      for (int64_t row = block * kRowsPerTask; row < end; ++row) {
        const A top = given.sum(row, total.data());
        const T* dy = d_out.data + row * classes;
        A mass = 0, d_sum = 0;
        for (int64_t c = 0; c < classes; ++c) {
          // A class ruled out, and a row whose classes all are, depend on nothing.
          if (std::isinf(total[c])) continue;
          mass += std::exp(total[c] - top);
          d_sum += A(dy[c]);
        }
        for (int64_t c = 0; c < classes; ++c)
          d_total[c] = std::isinf(total[c]) ? A(0) : A(dy[c]) - std::exp(total[c] - top) / mass * d_sum;
        for (int64_t m = 0; m < modalities; ++m) {
          const T* l = given.of(row, m);
          T* d = d_l + (row * modalities + m) * classes;
          const A weight = given.present(row, m) ? A(given.weights.data[m]) : A(0);
          A d_weight = 0;
          for (int64_t c = 0; c < classes; ++c) {
            d[c] = T(weight * d_total[c]);
            if (given.present(row, m) && d_total[c] != 0)
              d_weight += d_total[c] * ((std::isinf(A(l[c])) ? A(0) : A(l[c])) - given.prior(c));
          }
          partial[block * modalities + m] += d_weight;
        }
      }
    }
  });
  T* d_w = writable<T>(d_weights);
  for (int64_t m = 0; m < modalities; ++m) {
    double sum = 0;
    for (int64_t block = 0; block < blocks; ++block) sum += partial[block * modalities + m];
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
