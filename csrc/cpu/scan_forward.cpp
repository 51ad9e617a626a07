// Forward pass of the DialogueRNN scan: a share of the dialogues walks all its steps on one thread.
#include <torch/csrc/stable/library.h>

#include <cmath>
#include <tuple>

#include "scan.h"

namespace mm_emotion {
namespace {

template <typename T>
struct Result {
  T *emotion, *global, *party, *attention;
};

// Inputs (R, B, U, W) read where they lie, since the layers before leave the direction next to last.
template <typename T>
struct Inputs {
  explicit Inputs(const Tensor& tensor) : rows(tensor.stride(3) == 1 ? tensor : torch::stable::contiguous(tensor)) {
    data = static_cast<const T*>(rows.data_ptr());
    for (int64_t axis = 0; axis < 3; ++axis) stride[axis] = rows.stride(axis);
  }
  const T* at(int64_t way, int64_t dialogue, int64_t position) const {
    return data + way * stride[0] + dialogue * stride[1] + position * stride[2];
  }
  Tensor rows;
  const T* data;
  int64_t stride[3];
};

template <typename T>
struct Start {
  Rows<T> party, emotion;
};

// Pre-activations h_n, r, z, n of a GRU before its products, from those of the input (r, z, n) and the state's biases.
template <typename T>
void begin_gates(int64_t size, T* gates, const T* input, const T* bias) {
  std::memcpy(gates, bias + 2 * size, size * sizeof(T));
  for (int64_t i = 0; i < 2 * size; ++i) gates[size + i] = input[i] + bias[i];
  std::memcpy(gates + 3 * size, input + 2 * size, size * sizeof(T));
}

// Softmax of two stretches of scores as one.
template <typename T>
void softmax(T* given, int64_t given_count, T* fresh, int64_t fresh_count) {
  T top = -INFINITY, sum = 0;
  for (int64_t i = 0; i < given_count; ++i) top = std::max(top, given[i]);
  for (int64_t i = 0; i < fresh_count; ++i) top = std::max(top, fresh[i]);
  for (int64_t i = 0; i < given_count; ++i) sum += given[i] = std::exp(given[i] - top);
  for (int64_t i = 0; i < fresh_count; ++i) sum += fresh[i] = std::exp(fresh[i] - top);
  for (int64_t i = 0; i < given_count; ++i) given[i] /= sum;
  for (int64_t i = 0; i < fresh_count; ++i) fresh[i] /= sum;
}

template <typename T>
void attend(const Scan<T>& scan, int64_t way, int64_t dialogue, int64_t step, const Result<T>& result, T* context) {
  const Kernels<T>& use = kernels<T>();
  const int64_t at = scan.position(way, dialogue, step), here = scan.cell(way, dialogue, at);
  const int64_t known = scan.known(dialogue);
  const int64_t oldest = way == 1 ? at + 1 : 0;  // of the stretch of positions read before
  T* weights = result.attention + here * (scan.past + scan.steps);
  T* fresh = weights + scan.past + oldest;
  const T* given_rows = scan.history.data + (scan.past ? dialogue * scan.past * scan.g : 0);
  const T* fresh_rows = result.global + scan.cell(way, dialogue, oldest) * scan.g;
  const T* query = scan.queries.data + here * scan.g;
  std::fill(weights, weights + scan.past + scan.steps, T(0));
  std::fill(context, context + scan.g, T(0));
  if (known + step == 0) return;
  use.dots(known, scan.g, given_rows, query, weights);
  use.dots(step, scan.g, fresh_rows, query, fresh);
  softmax(weights, known, fresh, step);
  use.mix(known, scan.g, given_rows, weights, context);
  use.mix(step, scan.g, fresh_rows, fresh, context);
}

template <typename T>
std::vector<Matrix<T>> matrices(const Scan<T>& scan) {
  std::vector<Matrix<T>> all;
  const int64_t g = scan.g, p = scan.p, e = scan.e;
  for (int64_t way = 0; way < scan.directions; ++way) {
    all.push_back({scan.weight(way, kGq), 3 * g, p, true, 0});
    all.push_back({scan.weight(way, kGh), 3 * g, g, true, 2 * g});
    all.push_back({scan.weight(way, kPc), 3 * p, g, true, 0});
    all.push_back({scan.weight(way, kPq), 3 * p, p, true, 2 * p});
    all.push_back({scan.weight(way, kEq), 3 * e, p, true, 0});
    all.push_back({scan.weight(way, kEh), 3 * e, e, true, 2 * e});
    if (!scan.listener) continue;
    all.push_back({scan.weight(way, kLs), 3 * p, p, true, 0});
    all.push_back({scan.weight(way, kLh), 3 * p, p, true, 2 * p});
  }
  return all;
}

template <typename T>
void walk(
    const Scan<T>& scan, const Share<T>& share, const Inputs<T>& inputs, const Start<T>& start, const Products<T>& products,
    const Result<T>& result, T* reserve) {
  const Kernels<T>& use = kernels<T>();
  const int64_t way = share.way, count = share.ranks.size(), g = scan.g, p = scan.p, e = scan.e;
  const int64_t parties = scan.parties, matrix = way * (scan.listener ? 8 : 6);
  Buffer<T> own(reserve ? 0 : count * Trace<T>::width(scan));
  const Trace<T> trace(scan, reserve ? reserve : own.data(), reserve ? scan.rows : count);
  Buffer<T> zeros(scan.largest()), heard(scan.listener ? count * 3 * p : 0);
  Buffer<T> scratch((scan.listener ? parties : 1) * count * 3 * scan.largest());
  std::fill(zeros.data(), zeros.data() + scan.largest(), T(0));
  std::vector<const T*> input(count), left(count), before(count * parties);
  std::vector<T*> to(count * parties), after(count * parties);
  std::vector<int64_t> row(count), cell(count), spoken(count), at(count);
  const auto party_of = [&](int64_t index, int64_t which) {
    return result.party + ((way * scan.dialogues + scan.order[share.ranks[index]]) * parties + which) * p;
  };
  const auto emotion_at = [&](int64_t dialogue, int64_t position) {
    return result.emotion + ((dialogue * scan.steps + position) * scan.directions + way) * e;
  };
  for (int64_t index = 0; index < count; ++index) {
    const int64_t dialogue = scan.order[share.ranks[index]], size = parties * p;
    T* party = party_of(index, 0);
    if (start.party) std::memcpy(party, start.party.data + dialogue * size, size * sizeof(T));
    else std::fill(party, party + size, T(0));
  }
  const auto multiply = [&](int64_t n, const std::vector<const T*>& a, size_t which) {
    products.add(matrix + which, n, a.data(), to.data(), scratch.data());
  };

  for (int64_t step = 0; step < scan.steps; ++step) {
    const int64_t n = share.running(scan, step);
    if (n == 0) break;
    for (int64_t index = 0; index < n; ++index) {
      const int64_t rank = share.ranks[index], dialogue = scan.order[rank];
      row[index] = reserve ? scan.offsets[step] + rank : index;
      at[index] = scan.position(way, dialogue, step);
      cell[index] = scan.cell(way, dialogue, at[index]);
      input[index] = inputs.at(way, dialogue, at[index]);
      spoken[index] = scan.speaker(dialogue, at[index]);
    }

    // Global state.
    for (int64_t index = 0; index < n; ++index) {
      const int64_t dialogue = scan.order[share.ranks[index]], known = scan.known(dialogue);
      const T* newest = zeros.data();
      if (step > 0)
        newest = result.global + scan.cell(way, dialogue, scan.position(way, dialogue, step - 1)) * g;
      else if (known > 0)
        newest = scan.history.data + (dialogue * scan.past + known - 1) * g;
      T* q = trace.q_before + row[index] * p;
      std::memcpy(q, party_of(index, spoken[index]), p * sizeof(T));
      T* gates = trace.gates_g + row[index] * 4 * g;
      begin_gates(g, gates, input[index], scan.weight(way, kBgh));
      std::memcpy(trace.g_before + row[index] * g, newest, g * sizeof(T));
      left[index] = q, before[index] = newest, to[index] = gates + g;
    }
    multiply(n, left, 0);
    for (int64_t index = 0; index < n; ++index) to[index] -= g;
    multiply(n, before, 1);
    for (int64_t index = 0; index < n; ++index) {
      T* out = result.global + cell[index] * g;
      use.gru(g, to[index], before[index], out);
      if (scan.keep) drop(g, out, scan.kept(cell[index]), scan.scale);
    }

    // Context, and the party that speaks.
    for (int64_t index = 0; index < n; ++index) {
      T *context = trace.context + row[index] * g, *gates = trace.gates_p + row[index] * 4 * p;
      attend(scan, way, scan.order[share.ranks[index]], step, result, context);
      begin_gates(p, gates, input[index] + 3 * g, scan.weight(way, kBph));
      before[index] = context, to[index] = gates + p;
    }
    multiply(n, before, 2);
    for (int64_t index = 0; index < n; ++index) to[index] -= p;
    multiply(n, left, 3);
    for (int64_t index = 0; index < n; ++index) {
      T* q = trace.q_after + row[index] * p;
      use.gru(p, to[index], left[index], q);
      if (scan.keep) drop(p, q, scan.kept(cell[index]) + g, scan.scale);
      left[index] = q;
    }

    // The parties that listen.
    if (scan.listener) {
      for (int64_t index = 0; index < n; ++index) {
        to[index] = heard.data() + index * 3 * p;
        std::memcpy(to[index], input[index] + 3 * g + 3 * p, 3 * p * sizeof(T));
      }
      multiply(n, left, 6);
      int64_t listening = 0;
      for (int64_t index = 0; index < n; ++index) {
        T* old = trace.party_before + row[index] * parties * p;
        std::memcpy(old, party_of(index, 0), parties * p * sizeof(T));
        for (int64_t who = 0; who < parties; ++who) {
          T* gates = trace.gates_l + (row[index] * parties + who) * 4 * p;
          if (who == spoken[index]) {
            std::fill(gates, gates + 4 * p, T(0));
            continue;
          }
          begin_gates(p, gates, heard.data() + index * 3 * p, scan.weight(way, kBlh));
          before[listening] = old + who * p, after[listening] = party_of(index, who), to[listening++] = gates;
        }
      }
      multiply(listening, before, 7);
      for (int64_t who = 0; who < listening; ++who) use.gru(p, to[who], before[who], after[who]);
      for (int64_t index = 0; index < n && scan.keep; ++index)
        for (int64_t who = 0; who < parties; ++who)
          if (who != spoken[index])
            drop(p, party_of(index, who), scan.kept(cell[index]) + g + p + e + who * p, scan.scale);
    }
    for (int64_t index = 0; index < n; ++index)
      std::memcpy(party_of(index, spoken[index]), left[index], p * sizeof(T));

    // Emotion.
    for (int64_t index = 0; index < n; ++index) {
      const int64_t dialogue = scan.order[share.ranks[index]];
      const T* newest = start.emotion ? start.emotion.data + dialogue * e : zeros.data();
      if (step > 0) newest = emotion_at(dialogue, scan.position(way, dialogue, step - 1));
      T* gates = trace.gates_e + row[index] * 4 * e;
      begin_gates(e, gates, scan.weight(way, kBei), scan.weight(way, kBeh));
      std::memcpy(trace.e_before + row[index] * e, newest, e * sizeof(T));
      before[index] = newest, to[index] = gates + e;
    }
    multiply(n, left, 4);
    for (int64_t index = 0; index < n; ++index) to[index] -= e;
    multiply(n, before, 5);
    for (int64_t index = 0; index < n; ++index) {
      T* out = emotion_at(scan.order[share.ranks[index]], at[index]);
      use.gru(e, to[index], before[index], out);
      if (scan.keep) drop(e, out, scan.kept(cell[index]) + g + p, scan.scale);
    }
  }

  for (int64_t rank : share.ranks) {
    const int64_t dialogue = scan.order[rank], width = scan.past + scan.steps;
    for (int64_t position = scan.lengths.data[dialogue]; position < scan.steps; ++position) {
      const int64_t here = scan.cell(way, dialogue, position);
      T* emotion = emotion_at(dialogue, position);
      std::fill(emotion, emotion + e, T(0));
      std::fill(result.global + here * g, result.global + (here + 1) * g, T(0));
      std::fill(result.attention + here * width, result.attention + (here + 1) * width, T(0));
    }
  }
}

template <typename T>
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> run(
    const ScanArguments& given, const Tensor& inputs, const std::optional<Tensor>& party_states,
    const std::optional<Tensor>& emotion_state, bool save, ScalarType type, const char* name) {
  const Scan<T> scan(given, type, name);
  const int64_t ways = scan.directions, count = scan.dialogues, steps = scan.steps;
  check_type("inputs", inputs, type, name);
  check_shape("inputs", inputs, {ways, count, steps, scan.input_width()});
  if (party_states) {
    check_type("party_states", *party_states, type, name);
    check_shape("party_states", *party_states, {1, count, scan.parties, scan.p});
  }
  if (emotion_state) {
    check_type("emotion_state", *emotion_state, type, name);
    check_shape("emotion_state", *emotion_state, {1, count, scan.e});
  }
  if ((party_states || emotion_state) && ways != 1) refuse("party_states", "one direction");
  const Tensor emotion = fresh<T>(inputs, {count, steps, ways * scan.e});
  const Tensor global = fresh<T>(inputs, {ways, count, steps, scan.g});
  const Tensor party = fresh<T>(inputs, {ways, count, scan.parties, scan.p});
  const Tensor attention = fresh<T>(inputs, {ways, count, steps, scan.past + steps});
  const int64_t width = save ? count * steps * Trace<T>::width(scan) : 0;
  const Tensor reserve = fresh<T>(inputs, {ways, width});
  const Result<T> result{writable<T>(emotion), writable<T>(global), writable<T>(party), writable<T>(attention)};
  const Start<T> start{Rows<T>(party_states), Rows<T>(emotion_state)};
  const Inputs<T> x(inputs);
  if (count > 0) {
    const Products<T> products(scan, matrices(scan));
    T* kept = width ? writable<T>(reserve) : nullptr;
    in_parallel(scan, [&](const Share<T>& share) {
      walk(scan, share, x, start, products, result, kept ? kept + share.way * width : nullptr);
    });
  }
  return {emotion, global, party, attention, reserve};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> dialogue_rnn_scan(
    const Tensor& inputs, const Tensor& queries, const Tensor& speakers, const Tensor& lengths,
    const std::vector<Tensor>& weights, const std::optional<Tensor>& keep_mask, double keep_scale, int64_t num_parties,
    const std::optional<Tensor>& history, const std::optional<Tensor>& history_lengths,
    const std::optional<Tensor>& party_states, const std::optional<Tensor>& emotion_state, bool save) {
  const ScanArguments given{queries,    speakers, lengths, weights, keep_mask, keep_scale, num_parties, history,
                            history_lengths};
  if (inputs.scalar_type() == ScalarType::Double)
    return run<double>(given, inputs, party_states, emotion_state, save, ScalarType::Double, "float64");
  return run<float>(given, inputs, party_states, emotion_state, save, ScalarType::Float, "float32");
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(mm_emotion, CPU, m) { m.impl("dialogue_rnn_scan", TORCH_BOX(&dialogue_rnn_scan)); }

}  // namespace mm_emotion
