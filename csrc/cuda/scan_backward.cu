// Backward pass of the DialogueRNN scan on CUDA devices, but for the weight gradients; not yet executed on a GPU, off by
// default, see scan.cuh.
#include "../device/scan_backward.h"

#include <tuple>

#include "scan.cuh"

namespace mm_emotion {
namespace {

using device::Backward;
using device::BackwardArguments;
using device::ScanGates;
using device::ScanSizes;
using device::ScanTrace;
using Results = std::tuple<Tensor, Tensor, Tensor>;

// What earlier passes gave and what flows back.
struct Given {
  const Tensor &d_emotion, &d_global, &d_party, &global_states, &attentions, &reserve;
};

template <typename W, typename T>
Results run(ScanSizes sizes, const ScanArguments& given, double keep_scale, const Given& from) {
  const int64_t ways = sizes.directions, count = sizes.dialogues, steps = sizes.steps, width = sizes.past + steps;
  const Tensor& like = given.queries;
  check_like("reserve", from.reserve, like, {ways, ScanTrace<T>(sizes, true, nullptr).size});
  const auto fresh = [&](std::vector<int64_t> shape) { return torch::stable::new_empty(like, shape); };
  const Tensor d_inputs = fresh({count, steps, ways, sizes.input_width()}), d_queries = fresh({ways, count, steps, sizes.g});
  const Tensor d_gates = fresh({ways, ScanGates<T>(sizes, nullptr).size});
  if (count == 0) return {d_inputs, d_queries, d_gates};

  const Place place(like);
  const int64_t bytes = plan_scan(sizes, device::backward_shared_bytes<W, T>);
  std::vector<Tensor> held;
  const Rows<T> d_emotion(from.d_emotion), d_global(from.d_global), d_party(from.d_party), queries(like);
  const Rows<T> history(given.history), global(from.global_states), attention(from.attentions), trace(from.reserve);
  const Rows<bool> keep(given.keep_mask);
  BackwardArguments<W, T> a{};
  a.sizes = sizes, a.scale = keep_scale;
  a.d_emotion = d_emotion.data, a.d_global = d_global.data, a.d_party = d_party.data, a.queries = queries.data;
  a.keep = keep.data, a.history = history.data, a.global = global.data, a.attention = attention.data;
  point_at(a.weights, held, given.weights);
  a.order = order_scan(held, sizes, given, place.stream());
  a.trace = trace.data;
  a.d_inputs = writable<T>(d_inputs), a.d_queries = writable<T>(d_queries), a.d_gates = writable<T>(d_gates);
  a.d_scores = scratch<T>(held, like, ways * count * steps * width);
  a.d_contexts = scratch<T>(held, like, ways * count * steps * sizes.g);
  a.party_carry = scratch<T>(held, like, ways * count * sizes.parties * sizes.p);
  a.emotion_carry = scratch<T>(held, like, ways * count * sizes.e);
  a.direct = scratch<T>(held, like, ways * count * sizes.g);
  if (!sizes.resident)
    a.packed = scratch<W>(held, like, sizes.blocks() * device::BackwardShared<W, T>::packed_size(sizes));
  a.flags = scratch<uint32_t>(held, like, sizes.blocks(), true);
  a.settle();
  launch_together(walk<Backward, W, T, BackwardArguments<W, T>>, sizes.blocks(), bytes, place.stream(), a);
  return {d_inputs, d_queries, d_gates};
}

// The gradient of a state, zeros where nobody asked for one.
Tensor gradient_of(const char* name, const std::optional<Tensor>& given, const Tensor& like,
                   std::initializer_list<int64_t> shape) {
  if (!given) return torch::stable::new_zeros(like, std::vector<int64_t>(shape));
  check_like(name, *given, like, shape);
  return *given;
}

Results dialogue_rnn_scan_chain(
    const std::optional<Tensor>& of_emotion, const std::optional<Tensor>& of_global,
    const std::optional<Tensor>& of_party, const Tensor& queries, const Tensor& speakers, const Tensor& lengths,
    const std::vector<Tensor>& weights, const std::optional<Tensor>& keep_mask, double keep_scale, int64_t num_parties,
    const std::optional<Tensor>& history, const std::optional<Tensor>& history_lengths, const Tensor& global_states,
    const Tensor& attentions, const Tensor& reserve) {
  const ScanArguments given{queries, speakers, lengths, weights, keep_mask, num_parties, history, history_lengths};
  const ScanSizes sizes = check_scan(given);
  const int64_t ways = sizes.directions, count = sizes.dialogues, steps = sizes.steps;
  const Tensor d_emotion = gradient_of("d_emotion", of_emotion, queries, {count, steps, ways * sizes.e});
  const Tensor d_global = gradient_of("d_global", of_global, queries, {ways, count, steps, sizes.g});
  const Tensor d_party = gradient_of("d_party", of_party, queries, {ways, count, sizes.parties, sizes.p});
  check_like("global_states", global_states, queries, {ways, count, steps, sizes.g});
  check_like("attentions", attentions, queries, {ways, count, steps, sizes.past + steps});
  return with_scan_types(weights[0], queries, [&](auto weight, auto value) {
    return run<decltype(weight), decltype(value)>(
        sizes, given, keep_scale, {d_emotion, d_global, d_party, global_states, attentions, reserve});
  });
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(mm_emotion, CUDA, m) {
  m.impl("dialogue_rnn_scan_chain", TORCH_BOX(&dialogue_rnn_scan_chain));
}

}  // namespace mm_emotion
