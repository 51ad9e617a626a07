// Every op of mm_emotion and its schema. Kernels register themselves in cpu/<op>.cpp; what differentiates, traces and
// casts them is in mm_emotion/ops/<op>.py.
#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY(mm_emotion, m) {
  m.def("product_fusion(Tensor log_probs, Tensor weights, Tensor? log_prior, Tensor? modality_mask) -> Tensor");
  m.def(
      "product_fusion_backward(Tensor d_out, Tensor log_probs, Tensor weights, Tensor? log_prior, "
      "Tensor? modality_mask) -> (Tensor, Tensor)");
  m.def("tensor_fusion_linear(Tensor[] xs, Tensor weight, Tensor? bias) -> Tensor");
  // Gradients of every modality and of the weight; what `needs`, in that order, does not ask for is empty.
  m.def("tensor_fusion_linear_backward(Tensor d_out, Tensor[] xs, Tensor weight, bool[] needs) -> (Tensor[], Tensor)");
  m.def(
      "dialogue_rnn_scan(Tensor inputs, Tensor queries, Tensor speakers, Tensor lengths, Tensor[] weights, "
      "Tensor? keep_mask, float keep_scale, int num_parties, Tensor? history, Tensor? history_lengths, "
      "Tensor? party_states, Tensor? emotion_state, bool save) -> (Tensor, Tensor, Tensor, Tensor, Tensor)");
  // The sequential part of the backward pass: gradients of the inputs (B, U, R, W), of the queries and of every gate.
  m.def(
      "dialogue_rnn_scan_chain(Tensor? d_emotion, Tensor? d_global, Tensor? d_party, Tensor queries, Tensor speakers, "
      "Tensor lengths, Tensor[] weights, Tensor? keep_mask, float keep_scale, int num_parties, Tensor? history, "
      "Tensor? history_lengths, Tensor global_states, Tensor attentions, Tensor reserve) -> (Tensor, Tensor, Tensor)");
  // The whole of it; mm_emotion/ops/_dialogue_rnn_scan_native.py adds the weight gradients.
  m.def(
      "dialogue_rnn_scan_backward(Tensor? d_emotion, Tensor? d_global, Tensor? d_party, Tensor queries, "
      "Tensor speakers, Tensor lengths, Tensor[] weights, Tensor? keep_mask, float keep_scale, int num_parties, "
      "Tensor? history, Tensor? history_lengths, Tensor global_states, Tensor attentions, Tensor reserve) "
      "-> (Tensor, Tensor, Tensor[])");
}
