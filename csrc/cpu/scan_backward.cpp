// The sequential part of the backward pass of the DialogueRNN scan. Weight gradients are no part of it: they are one
// matrix product each over the gradients of all gates, which this leaves in packed rows.
#include <torch/csrc/stable/library.h>

#include <tuple>

#include "scan.h"

namespace mm_emotion {
namespace {

// Gradients of the pre-activations of all gates, in the packed rows of the trace.
template <typename T>
struct Gates {
  Gates(const Scan<T>& scan, T* data) {
    Blocks<T> blocks(data, scan.rows);
    g = blocks.take(4 * scan.g), p = blocks.take(4 * scan.p), e = blocks.take(4 * scan.e);
    if (!scan.listener) return;
    l = blocks.take(4 * scan.parties * scan.p), heard = blocks.take(3 * scan.p);
  }
  static int64_t width(const Scan<T>& scan) {
    return 4 * (scan.g + scan.p + scan.e) + (scan.listener ? (4 * scan.parties + 3) * scan.p : 0);
  }
  T *g, *p, *e, *l = nullptr, *heard = nullptr;
};

template <typename T>
struct Given {
  const T *emotion, *global, *party, *states, *attention;
};

template <typename T>
struct Result {
  T *inputs, *queries;  // (B, U, R, W): as one product of all directions gave the inputs; (R, B, U, G)
};

template <typename T>
std::vector<Matrix<T>> matrices(const Scan<T>& scan) {
  std::vector<Matrix<T>> all;
  const int64_t g = scan.g, p = scan.p, e = scan.e;
  for (int64_t way = 0; way < scan.directions; ++way) {
    all.push_back({scan.weight(way, kGq), p, 3 * g, false, 0});
    all.push_back({scan.weight(way, kGh), g, 3 * g, false, 2 * g});
    all.push_back({scan.weight(way, kPc), g, 3 * p, false, 0});
    all.push_back({scan.weight(way, kPq), p, 3 * p, false, 2 * p});
    all.push_back({scan.weight(way, kEq), p, 3 * e, false, 0});
    all.push_back({scan.weight(way, kEh), e, 3 * e, false, 2 * e});
    if (!scan.listener) continue;
    all.push_back({scan.weight(way, kLs), p, 3 * p, false, 0});
    all.push_back({scan.weight(way, kLh), p, 3 * p, false, 2 * p});
  }
  return all;
}

// From the gradient of a context to those of the query and of every state it was read from, as value and as key.
template <typename T>
void attend_backward(
    const Scan<T>& scan, int64_t way, int64_t dialogue, int64_t step, const Given<T>& given, const T* d_context,
    T* d_states, T* d_weights, T* d_query) {
  const Kernels<T>& use = kernels<T>();
  const int64_t at = scan.position(way, dialogue, step), here = scan.cell(way, dialogue, at);
  const int64_t known = scan.known(dialogue), oldest = way == 1 ? at + 1 : 0;
  std::fill(d_query, d_query + scan.g, T(0));
  if (known + step == 0) return;
  const T* weights = given.attention + here * (scan.past + scan.steps);
  const T* fresh = weights + scan.past + oldest;
  const T* given_rows = scan.history.data + (scan.past ? dialogue * scan.past * scan.g : 0);
  const T* fresh_rows = given.states + scan.cell(way, dialogue, oldest) * scan.g;
  T* d_fresh = d_weights + known;
  use.dots(known, scan.g, given_rows, d_context, d_weights);
  use.dots(step, scan.g, fresh_rows, d_context, d_fresh);
  T mean = 0;
  for (int64_t i = 0; i < known; ++i) mean += weights[i] * d_weights[i];
  for (int64_t i = 0; i < step; ++i) mean += fresh[i] * d_fresh[i];
  for (int64_t i = 0; i < known; ++i) d_weights[i] = weights[i] * (d_weights[i] - mean);
  for (int64_t i = 0; i < step; ++i) d_fresh[i] = fresh[i] * (d_fresh[i] - mean);
  use.mix(known, scan.g, given_rows, d_weights, d_query);
  use.mix(step, scan.g, fresh_rows, d_fresh, d_query);
  use.spread(step, scan.g, d_states + oldest * scan.g, fresh, d_context, d_fresh, scan.queries.data + here * scan.g);
}

template <typename T>
void walk(
    const Scan<T>& scan, const Share<T>& share, const Given<T>& given, const Products<T>& products, const Trace<T>& trace,
    const Gates<T>& gates, const Result<T>& result) {
  const Kernels<T>& use = kernels<T>();
  const int64_t way = share.way, count = share.ranks.size(), g = scan.g, p = scan.p, e = scan.e;
  const int64_t parties = scan.parties, matrix = way * (scan.listener ? 8 : 6), width = scan.input_width();
  Buffer<T> states(count * scan.steps * g), party(count * parties * p), emotion(count * e), context(count * g);
  Buffer<T> scratch((scan.listener ? parties : 1) * count * 3 * scan.largest());
  Buffer<T> scores(scan.past + scan.steps), direct(scan.largest());
  std::vector<const T*> left(count * parties);
  std::vector<T*> to(count * parties), to_input(count);
  std::vector<int64_t> row(count), cell(count), at(count), spoken(count);
  const auto d_input = [&](int64_t dialogue, int64_t position) {
    return result.inputs + ((dialogue * scan.steps + position) * scan.directions + way) * width;
  };
  std::fill(emotion.data(), emotion.data() + count * e, T(0));
  for (int64_t index = 0; index < count; ++index) {
    const int64_t dialogue = scan.order[share.ranks[index]], here = way * scan.dialogues + dialogue;
    std::memcpy(party.data() + index * parties * p, given.party + here * parties * p, parties * p * sizeof(T));
    const int64_t length = scan.lengths.data[dialogue];
    const T* d_global = given.global + here * scan.steps * g;
    std::memcpy(states.data() + index * scan.steps * g, d_global, length * g * sizeof(T));
    for (int64_t position = length; position < scan.steps; ++position)
      std::fill(d_input(dialogue, position), d_input(dialogue, position) + width, T(0));
    T* padding = result.queries + (here * scan.steps + length) * g;
    std::fill(padding, padding + (scan.steps - length) * g, T(0));
  }
  const auto party_of = [&](int64_t index, int64_t who) { return party.data() + (index * parties + who) * p; };
  const auto multiply = [&](int64_t n, size_t which) {
    products.add(matrix + which, n, left.data(), to.data(), scratch.data());
  };

  for (int64_t step = scan.steps - 1; step >= 0; --step) {
    const int64_t n = share.running(scan, step);
    if (n == 0) continue;
    for (int64_t index = 0; index < n; ++index) {
      const int64_t rank = share.ranks[index], dialogue = scan.order[rank];
      row[index] = scan.offsets[step] + rank;
      at[index] = scan.position(way, dialogue, step);
      cell[index] = scan.cell(way, dialogue, at[index]);
      spoken[index] = scan.speaker(dialogue, at[index]);
      to_input[index] = d_input(dialogue, at[index]);
    }

    // Emotion.
    for (int64_t index = 0; index < n; ++index) {
      const int64_t dialogue = scan.order[share.ranks[index]];
      T *d = emotion.data() + index * e, *d_gates = gates.e + row[index] * 4 * e;
      const T* d_out = given.emotion + ((dialogue * scan.steps + at[index]) * scan.directions + way) * e;
      for (int64_t i = 0; i < e; ++i) d[i] += d_out[i];
      if (scan.keep) drop(e, d, scan.kept(cell[index]) + g + p, scan.scale);
      use.gru_backward(e, trace.gates_e + row[index] * 4 * e, trace.e_before + row[index] * e, d, d_gates, d);
      left[index] = d_gates, to[index] = d;
    }
    multiply(n, 5);
    for (int64_t index = 0; index < n; ++index) left[index] += e, to[index] = party_of(index, spoken[index]);
    multiply(n, 4);

    // The parties that listen.
    if (scan.listener) {
      int64_t listening = 0;
      for (int64_t index = 0; index < n; ++index) {
        T* heard = gates.heard + row[index] * 3 * p;
        std::fill(heard, heard + 3 * p, T(0));
        for (int64_t who = 0; who < parties; ++who) {
          const int64_t here = row[index] * parties + who;
          T *d = party_of(index, who), *d_gates = gates.l + here * 4 * p;
          if (who == spoken[index]) {
            std::fill(d_gates, d_gates + 4 * p, T(0));
            continue;
          }
          if (scan.keep) drop(p, d, scan.kept(cell[index]) + g + p + e + who * p, scan.scale);
          use.gru_backward(p, trace.gates_l + here * 4 * p, trace.party_before + here * p, d, d_gates, d);
          for (int64_t i = 0; i < 3 * p; ++i) heard[i] += d_gates[p + i];
          left[listening] = d_gates, to[listening++] = d;
        }
      }
      multiply(listening, 7);
      for (int64_t index = 0; index < n; ++index) {
        left[index] = gates.heard + row[index] * 3 * p, to[index] = party_of(index, spoken[index]);
        std::memcpy(to_input[index] + 3 * g + 3 * p, left[index], 3 * p * sizeof(T));
      }
      multiply(n, 6);
    }

    // The party that speaks, and its context.
    for (int64_t index = 0; index < n; ++index) {
      T *d = party_of(index, spoken[index]), *d_gates = gates.p + row[index] * 4 * p;
      if (scan.keep) drop(p, d, scan.kept(cell[index]) + g, scan.scale);
      use.gru_backward(p, trace.gates_p + row[index] * 4 * p, trace.q_before + row[index] * p, d, d_gates, d);
      std::memcpy(to_input[index] + 3 * g, d_gates + p, 3 * p * sizeof(T));
      left[index] = d_gates, to[index] = d;
    }
    multiply(n, 3);
    std::fill(context.data(), context.data() + n * g, T(0));
    for (int64_t index = 0; index < n; ++index) left[index] += p, to[index] = context.data() + index * g;
    multiply(n, 2);

    // Attention, and the global state, which every later step has added its part to by now.
    for (int64_t index = 0; index < n; ++index) {
      const int64_t dialogue = scan.order[share.ranks[index]];
      T *own = states.data() + index * scan.steps * g, *d_gates = gates.g + row[index] * 4 * g;
      T* d_query = result.queries + cell[index] * g;
      attend_backward(
          scan, way, dialogue, step, given, context.data() + index * g, own, scores.data(), d_query);
      T* d = own + at[index] * g;
      if (scan.keep) drop(g, d, scan.kept(cell[index]), scan.scale);
      use.gru_backward(
          g, trace.gates_g + row[index] * 4 * g, trace.g_before + row[index] * g, d, d_gates, direct.data());
      std::memcpy(to_input[index], d_gates + g, 3 * g * sizeof(T));
      left[index] = d_gates, to[index] = nullptr;
      if (step == 0) continue;
      to[index] = own + scan.position(way, dialogue, step - 1) * g;
      for (int64_t i = 0; i < g; ++i) to[index][i] += direct.data()[i];
    }
    if (step > 0) multiply(n, 1);
    for (int64_t index = 0; index < n; ++index) left[index] += g, to[index] = party_of(index, spoken[index]);
    multiply(n, 0);
  }
}

template <typename T>
std::tuple<Tensor, Tensor, Tensor> run(
    const ScanArguments& given, const Tensor& d_emotion, const Tensor& d_global, const Tensor& d_party,
    const Tensor& global_states, const Tensor& attentions, const Tensor& reserve, ScalarType type, const char* name) {
  const Scan<T> scan(given, type, name);
  const int64_t ways = scan.directions, count = scan.dialogues, steps = scan.steps;
  const int64_t width = count * steps * Trace<T>::width(scan), d_width = count * steps * Gates<T>::width(scan);
  const auto check = [&](const char* argument, const Tensor& tensor, std::initializer_list<int64_t> shape) {
    check_type(argument, tensor, type, name);
    check_shape(argument, tensor, shape);
  };
  check("d_emotion", d_emotion, {count, steps, ways * scan.e});
  check("d_global", d_global, {ways, count, steps, scan.g});
  check("d_party", d_party, {ways, count, scan.parties, scan.p});
  check("global_states", global_states, {ways, count, steps, scan.g});
  check("attentions", attentions, {ways, count, steps, scan.past + steps});
  check("reserve", reserve, {ways, width});
  const Tensor d_inputs = fresh<T>(global_states, {count, steps, ways, scan.input_width()});
  const Tensor d_queries = fresh<T>(global_states, {ways, count, steps, scan.g});
  const Tensor d_gates = fresh<T>(global_states, {ways, d_width});
  const Rows<T> emotion(d_emotion), global(d_global), party(d_party), states(global_states), attention(attentions);
  const Rows<T> kept(reserve);
  const Given<T> all{emotion.data, global.data, party.data, states.data, attention.data};
  const Result<T> result{writable<T>(d_inputs), writable<T>(d_queries)};
  if (count * steps > 0) {
    const Products<T> products(scan, matrices(scan));
    T* gates = writable<T>(d_gates);
    in_parallel(scan, [&](const Share<T>& share) {
      const Trace<T> trace(scan, const_cast<T*>(kept.data) + share.way * width, scan.rows);
      walk(scan, share, all, products, trace, Gates<T>(scan, gates + share.way * d_width), result);
    });
  }
  return {d_inputs, d_queries, d_gates};
}

std::tuple<Tensor, Tensor, Tensor> dialogue_rnn_scan_chain(
    const Tensor& d_emotion, const Tensor& d_global, const Tensor& d_party, const Tensor& queries,
    const Tensor& speakers, const Tensor& lengths, const std::vector<Tensor>& weights,
    const std::optional<Tensor>& keep_mask, double keep_scale, int64_t num_parties,
    const std::optional<Tensor>& history, const std::optional<Tensor>& history_lengths, const Tensor& global_states,
    const Tensor& attentions, const Tensor& reserve) {
  const ScanArguments given{queries,    speakers, lengths, weights, keep_mask, keep_scale, num_parties, history,
                            history_lengths};
  const auto run_as = [&](auto zero, ScalarType type, const char* name) {
    return run<decltype(zero)>(given, d_emotion, d_global, d_party, global_states, attentions, reserve, type, name);
  };
  if (queries.scalar_type() == ScalarType::Double) return run_as(double(), ScalarType::Double, "float64");
  return run_as(float(), ScalarType::Float, "float32");
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(mm_emotion, CPU, m) {
  m.impl("dialogue_rnn_scan_chain", TORCH_BOX(&dialogue_rnn_scan_chain));
}

}  // namespace mm_emotion
