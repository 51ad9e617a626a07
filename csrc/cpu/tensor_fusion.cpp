// A linear layer on the outer product of two or three modalities with a 1 each; the outer product never exists.
//
// y[b] = sum_i x1[b,i] sum_n X[b,n] W[i,n,:], X[b,n] = x2[b,j] x3[b,k], n = (j, k): X of a few rows is built once and kept
// in the cache while W passes by. The sums over n are short, and scaled by x1 they are added up: more exact than one long
// sum. How the work is cut depends on the sizes alone, so results do not depend on the number of threads.
#include <torch/csrc/stable/library.h>
#include <torch/headeronly/util/BFloat16.h>

#include <algorithm>
#include <tuple>

#include "../checks.h"
#include "tensor_fusion_backward.h"
#include "tensor_fusion_forward.h"

namespace mm_emotion {
namespace {

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
