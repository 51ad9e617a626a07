// Every op of mm_emotion and its schema. Kernels register themselves in cpu/<op>.cpp; what differentiates, traces and
// casts them is in mm_emotion/ops/<op>.py.
#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY(mm_emotion, m) {
  m.def("product_fusion(Tensor log_probs, Tensor weights, Tensor? log_prior, Tensor? modality_mask) -> Tensor");
  m.def(
      "product_fusion_backward(Tensor d_out, Tensor log_probs, Tensor weights, Tensor? log_prior, "
      "Tensor? modality_mask) -> (Tensor, Tensor)");
}
