// Forward pass of the DialogueRNN scan on CUDA devices, not yet executed on a GPU; off by default, see scan.cuh.
#include "../device/scan_forward.h"

#include <tuple>

#include "scan.cuh"

namespace mm_emotion {
namespace {

using device::Forward;
using device::ForwardArguments;
using device::ScanSizes;
using device::ScanTrace;
using Results = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor>;

void check_start(const char* argument, const std::optional<Tensor>& state, const Tensor& like,
                 std::initializer_list<int64_t> shape) {
  if (!state) return;
  check_like(argument, *state, like, shape);
  if (like.size(0) != 1) refuse(argument, "one direction");
}

template <typename W, typename T>
Results run(
    ScanSizes sizes, const ScanArguments& given, const Tensor& inputs, double keep_scale,
    const std::optional<Tensor>& party_states, const std::optional<Tensor>& emotion_state, bool save) {
  const int64_t ways = sizes.directions, count = sizes.dialogues, steps = sizes.steps, width = sizes.past + steps;
  const auto fresh = [&](std::vector<int64_t> shape) { return torch::stable::new_empty(inputs, shape); };
  const int64_t kept = ScanTrace<T>(sizes, save, nullptr).size;
  const Tensor emotion = fresh({count, steps, ways * sizes.e}), global = fresh({ways, count, steps, sizes.g});
  const Tensor party = fresh({ways, count, sizes.parties, sizes.p}), attention = fresh({ways, count, steps, width});
  const Tensor reserve = fresh({ways, save ? kept : 0});
  if (count == 0) return {emotion, global, party, attention, reserve};

  const Place place(inputs);
  const int64_t bytes = plan_scan(sizes, device::forward_shared_bytes<W, T>);
  std::vector<Tensor> held;
  const Tensor rows = inputs.stride(3) == 1 ? inputs : torch::stable::contiguous(inputs);
  const Rows<T> queries(given.queries), history(given.history), start_party(party_states), start_emotion(emotion_state);
  const Rows<bool> keep(given.keep_mask);
  ForwardArguments<W, T> a{};
  a.sizes = sizes, a.save = save, a.scale = keep_scale;
  for (int axis = 0; axis < 3; ++axis) a.input_stride[axis] = rows.stride(axis);
  a.inputs = static_cast<const T*>(rows.data_ptr()), a.queries = queries.data, a.keep = keep.data;
  a.history = history.data, a.start_party = start_party.data, a.start_emotion = start_emotion.data;
  a.zeros = scratch<T>(held, inputs, std::max({sizes.g, sizes.p, sizes.e}), true);
  point_at(a.weights, held, given.weights);
  a.order = order_scan(held, sizes, given, place.stream());
  a.emotion = writable<T>(emotion), a.global = writable<T>(global), a.party = writable<T>(party);
  a.attention = writable<T>(attention);
  a.trace = save ? writable<T>(reserve) : scratch<T>(held, inputs, ways * kept);
  a.scores = scratch<T>(held, inputs, 3 * ways * count * width);
  if (!sizes.resident)
    a.packed = scratch<W>(held, inputs, sizes.blocks() * device::ForwardShared<W, T>::packed_size(sizes));
  a.flags = scratch<uint32_t>(held, inputs, sizes.blocks(), true);
  a.settle();
  launch_together(walk<Forward, W, T, ForwardArguments<W, T>>, sizes.blocks(), bytes, place.stream(), a);
  return {emotion, global, party, attention, reserve};
}

Results dialogue_rnn_scan(
    const Tensor& inputs, const Tensor& queries, const Tensor& speakers, const Tensor& lengths,
    const std::vector<Tensor>& weights, const std::optional<Tensor>& keep_mask, double keep_scale, int64_t num_parties,
    const std::optional<Tensor>& history, const std::optional<Tensor>& history_lengths,
    const std::optional<Tensor>& party_states, const std::optional<Tensor>& emotion_state, bool save) {
  const ScanArguments given{queries, speakers, lengths, weights, keep_mask, num_parties, history, history_lengths};
  const ScanSizes sizes = check_scan(given);
  check_like("inputs", inputs, queries, {sizes.directions, sizes.dialogues, sizes.steps, sizes.input_width()});
  check_start("party_states", party_states, queries, {1, sizes.dialogues, sizes.parties, sizes.p});
  check_start("emotion_state", emotion_state, queries, {1, sizes.dialogues, sizes.e});
  return with_scan_types(weights[0], queries, [&](auto weight, auto value) {
    return run<decltype(weight), decltype(value)>(sizes, given, inputs, keep_scale, party_states, emotion_state, save);
  });
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(mm_emotion, CUDA, m) { m.impl("dialogue_rnn_scan", TORCH_BOX(&dialogue_rnn_scan)); }

}  // namespace mm_emotion
