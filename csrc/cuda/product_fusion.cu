// Product of experts on CUDA devices: what torch gives and gets; the kernels are in device/product_fusion.h.
#include "../device/product_fusion.h"

#include <tuple>

#include "stream.h"

namespace mm_emotion {
namespace {

using product::Given;

void check(
    const Tensor& log_probs, const Tensor& weights, const std::optional<Tensor>& log_prior,
    const std::optional<Tensor>& mask) {
  if (log_probs.dim() < 2) refuse("log_probs", "shape (..., M, C)");
  const int64_t modalities = log_probs.size(log_probs.dim() - 2), classes = log_probs.size(log_probs.dim() - 1);
  if (modalities > product::kMostModalities) refuse("log_probs", "at most ", product::kMostModalities, " modalities");
  if (classes == 0) refuse("log_probs", "at least one class");
  check_like("weights", weights, log_probs, {modalities});
  if (log_prior) check_like("log_prior", *log_prior, log_probs, {classes});
  if (!mask) return;
  check_device("modality_mask", *mask, log_probs);
  if (mask->scalar_type() != ScalarType::Bool) refuse("modality_mask", "dtype bool");
  if (!has_rows_of(*mask, log_probs, modalities)) refuse("modality_mask", "the shape (..., M) of log_probs");
}

// The arguments in contiguous form, and what a kernel reads of them.
template <typename T>
struct Arguments {
  Rows<T> log_probs, weights, log_prior;
  Rows<bool> mask;
  Given<T> given;

  Arguments(
      const Tensor& log_probs_, const Tensor& weights_, const std::optional<Tensor>& log_prior_,
      const std::optional<Tensor>& mask_)
      : log_probs(log_probs_), weights(weights_), log_prior(log_prior_), mask(mask_) {
    const int64_t modalities = log_probs_.size(log_probs_.dim() - 2), classes = log_probs_.size(log_probs_.dim() - 1);
    int64_t rows = 1;
    for (int64_t axis = 0; axis < log_probs_.dim() - 2; ++axis) rows *= log_probs_.size(axis);
    given = {log_probs.data, weights.data, log_prior.data, mask.data, rows, static_cast<int>(modalities), classes};
  }
};

Tensor product_fusion(
    const Tensor& log_probs, const Tensor& weights, const std::optional<Tensor>& log_prior,
    const std::optional<Tensor>& mask) {
  check(log_probs, weights, log_prior, mask);
  return with_element("log_probs", log_probs, [&](auto zero) {
    using T = decltype(zero);
    const Place place(log_probs);
    const Arguments<T> arguments(log_probs, weights, log_prior, mask);
    std::vector<int64_t> shape = shape_of(log_probs);
    shape.erase(shape.end() - 2);
    Tensor out = torch::stable::new_empty(log_probs, shape);
    product::run_forward(arguments.given, writable<T>(out), place.stream());
    return out;
  });
}

std::tuple<Tensor, Tensor> product_fusion_backward(
    const Tensor& d_out, const Tensor& log_probs, const Tensor& weights, const std::optional<Tensor>& log_prior,
    const std::optional<Tensor>& mask) {
  check(log_probs, weights, log_prior, mask);
  check_device("d_out", d_out, log_probs);
  if (d_out.scalar_type() != log_probs.scalar_type()) refuse("d_out", "dtype of log_probs");
  const int64_t classes = log_probs.size(log_probs.dim() - 1);
  if (!has_rows_of(d_out, log_probs, classes)) refuse("d_out", "the shape (..., C) of the result");
  return with_element("log_probs", log_probs, [&](auto zero) {
    using T = decltype(zero);
    const Place place(log_probs);
    const Arguments<T> arguments(log_probs, weights, log_prior, mask);
    const Rows<T> dy(d_out);
    Tensor d_log_probs = torch::stable::new_empty(log_probs, shape_of(log_probs));
    Tensor d_weights = torch::stable::new_empty(weights, shape_of(weights));
    const int64_t partial = product::backward_blocks(arguments.given) * arguments.given.modalities;
    const Tensor sums = workspace<double>(log_probs, partial);
    product::run_backward(
        arguments.given, dy.data, writable<T>(d_log_probs), writable<T>(d_weights), writable<double>(sums),
        place.stream());
    return std::make_tuple(d_log_probs, d_weights);
  });
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(mm_emotion, CUDA, m) {
  m.impl("product_fusion", TORCH_BOX(&product_fusion));
  m.impl("product_fusion_backward", TORCH_BOX(&product_fusion_backward));
}

}  // namespace mm_emotion
