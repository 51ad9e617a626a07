// The sequential part of the backward pass of the DialogueRNN scan. Weight gradients are no part of it: they are one
// matrix product each over the gradients of all gates, which this leaves in packed rows.
#include <torch/csrc/stable/library.h>

#include <tuple>

#include "panels.h"

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
  const T *emotion, *global, *party;  // gradients of the states; null where there is none
  const T *states, *attention;
};

template <typename T>
struct Result {
  T *inputs, *queries;  // (B, U, R, W): as one product of all directions gave the inputs; (R, B, U, G)
};

// From the gradient of a context to those of the query and of every state it was read from, as value and as key.
template <typename T>
void attend_backward(
    const Scan<T>& scan, int64_t way, int64_t dialogue, int64_t step, const Given<T>& given, const T* context,
    const T* d_context, T* d_states, T* d_query) {
  const Kernels<T>& use = kernels<T>();
  const int64_t at = scan.position(way, dialogue, step), here = scan.cell(way, dialogue, at), g = scan.g;
  const int64_t known = scan.known(dialogue), oldest = way == 1 ? at + 1 : 0;
  std::fill(d_query, d_query + g, T(0));
  const T *query = scan.queries.data + here * g, *weights = given.attention + here * (scan.past + scan.steps);
  const T* given_rows = scan.history.data + (scan.past ? dialogue * scan.past * g : 0);
  const T* fresh_rows = given.states + scan.cell(way, dialogue, oldest) * g;
  use.unmix(known, g, given_rows, weights, context, d_context, query, nullptr, d_query);
  use.unmix(
      step, g, fresh_rows, weights + scan.past + oldest, context, d_context, query, d_states + oldest * g, d_query);
}

template <typename T>
class Walk {
 public:
  Walk(const Scan<T>& scan, const Share<T>& share, const Given<T>& given, const Panels<T>& panels, const Trace<T>& trace,
       const Gates<T>& gates, const Result<T>& result, Team& team);
  void run();

 private:
  // Where a member of the team computes.
  struct Desk {
    Desk(int64_t packed_, int64_t summed, int64_t size) : packed(packed_), sums(summed), direct(size) {}
    Buffer<T> packed, sums, direct;
  };
  // The gradient of a product's left side, for each row, from that of its gates.
  struct Target {
    Product product;
    T* const* to;
    bool add;
  };

  bool place(int64_t step);
  void begin(int64_t index);
  void propagate(int64_t size, int64_t rows, std::initializer_list<Target> targets, int64_t first_gate = 0);
  void multiply(Product product, int64_t number, int64_t rows, const Desk& desk) const;
  void pack(int64_t size, int64_t rows, const T* const* d_gates, int64_t first_gate, const Desk& desk) const;
  void leave_emotion();
  void multiply_emotion_inputs(int64_t begin, int64_t end);
  void leave_listeners();
  void leave_speakers();
  void leave_global();

  size_t matrix(Product product) const { return way * (scan.listener ? 8 : 6) + product; }
  int64_t dialogue(int64_t index) const { return scan.order[share.ranks[index]]; }
  int64_t row(int64_t index) const { return scan.offsets[now] + share.ranks[index]; }
  int64_t slot(int64_t step, int64_t index) const { return step % block * count + index; }
  T* party_of(int64_t index, int64_t who) const { return party.data() + (index * scan.parties + who) * p; }
  T* states_of(int64_t index) const { return states.data() + index * scan.steps * g; }
  T* d_input(int64_t index, int64_t position) const {
    return result.inputs + ((dialogue(index) * scan.steps + position) * scan.directions + way) * scan.input_width();
  }
  void drop_from(int64_t offset, int64_t index, int64_t size, T* d) const {
    if (scan.keep) drop(size, d, scan.kept(cell[index]) + offset, scan.scale);
  }

  const Scan<T>& scan;
  const Share<T>& share;
  const Given<T>& given;
  const Panels<T>& panels;
  const Trace<T>& trace;
  const Gates<T>& gates;
  const Result<T>& result;
  Team& team;
  const Kernels<T>& use = kernels<T>();
  const int64_t way = share.way, count = share.ranks.size(), g = scan.g, p = scan.p, e = scan.e;
  const int64_t columns = use.columns, block = scan.block(), part;  // values of a packed gate
  Buffer<T> states, party, emotion, context;  // gradients of what later steps have read
  Buffer<T> spoken_to;                        // gradients of the new party states by the emotion GRU, of a block of steps
  std::deque<Desk> desks;

  int64_t now = 0, running = 0;           // the step, and how many dialogues are that long
  std::vector<int64_t> cell, spoken, at;  // by place in the share
  std::vector<const T*> d_gates;          // rows of the next products
  std::vector<T*> to, also_to;
};

template <typename T>
Walk<T>::Walk(
    const Scan<T>& scan_, const Share<T>& share_, const Given<T>& given_, const Panels<T>& panels_,
    const Trace<T>& trace_, const Gates<T>& gates_, const Result<T>& result_, Team& team_)
    : scan(scan_), share(share_), given(given_), panels(panels_), trace(trace_), gates(gates_), result(result_),
      team(team_),
      part(panels.pack_size(std::max(count * (scan.listener ? scan.parties : 1), kBatch), scan.largest())),
      states(count * scan.steps * g), party(count * scan.parties * p), emotion(count * e), context(count * g),
      spoken_to(block * count * p),
      cell(count), spoken(count), at(count) {
  const int64_t rows = std::max(count * (scan.listener ? scan.parties : 1), kBatch);
  d_gates.resize(rows), to.resize(rows), also_to.resize(rows);
  for (int64_t member = 0; member < team.size(); ++member)
    desks.emplace_back(4 * part, rows * columns, scan.largest());
}

template <typename T>
void Walk<T>::run() {
  team.each(count, [&](int64_t index, int64_t) { begin(index); });
  for (int64_t end = scan.steps; end > 0;) {
    const int64_t first = (end - 1) / block * block;
    for (int64_t step = end - 1; step >= first; --step)
      if (place(step)) leave_emotion();
    multiply_emotion_inputs(first, end);
    for (int64_t step = end - 1; step >= first; --step) {
      if (!place(step)) continue;
      if (scan.listener) leave_listeners();
      leave_speakers();
      leave_global();
    }
    end = first;
  }
}

// Gradients that the caller gave, and zeros on padding.
template <typename T>
void Walk<T>::begin(int64_t index) {
  const int64_t here = way * scan.dialogues + dialogue(index), length = scan.lengths.data[dialogue(index)];
  const auto copy_or_zero = [](const T* from, int64_t offset, int64_t size, T* to_) {
    if (from) std::memcpy(to_, from + offset, size * sizeof(T));
    else std::fill_n(to_, size, T(0));
  };
  copy_or_zero(given.party, here * scan.parties * p, scan.parties * p, party_of(index, 0));
  copy_or_zero(given.global, here * scan.steps * g, length * g, states_of(index));
  std::fill_n(emotion.data() + index * e, e, T(0));
  for (int64_t position = length; position < scan.steps; ++position)
    std::fill_n(d_input(index, position), scan.input_width(), T(0));
  std::fill_n(result.queries + (here * scan.steps + length) * g, (scan.steps - length) * g, T(0));
}

// Finds where everything of a step lies; false where no dialogue is that long.
template <typename T>
bool Walk<T>::place(int64_t step) {
  now = step, running = share.running(scan, step);
  for (int64_t index = 0; index < running; ++index) {
    at[index] = scan.position(way, dialogue(index), step);
    cell[index] = scan.cell(way, dialogue(index), at[index]);
    spoken[index] = scan.speaker(dialogue(index), at[index]);
  }
  return running > 0;
}

// The gates h_n, r, z, n of rows that begin with `first_gate`, each packed by itself: h_n takes the place of n where a
// state matrix is multiplied.
template <typename T>
void Walk<T>::pack(int64_t size, int64_t rows, const T* const* from, int64_t first_gate, const Desk& desk) const {
  for (int64_t gate = first_gate; gate < 4; ++gate)
    panels.pack(rows, size, from, (gate - first_gate) * size, desk.packed.data() + gate * part);
}

// One block of a product, into the sums of the desk.
template <typename T>
void Walk<T>::multiply(Product product, int64_t number, int64_t rows, const Desk& desk) const {
  for (int64_t gate = 0; gate < 3; ++gate) {
    const T* packed = desk.packed.data() + (gate < 2 ? gate + 1 : of_state(product) ? 0 : 3) * part;
    panels.multiply(matrix(product), gate, number, rows, nullptr, packed, desk.sums.data(), gate > 0);
  }
}

template <typename T>
void Walk<T>::propagate(int64_t size, int64_t rows, std::initializer_list<Target> targets, int64_t first_gate) {
  int64_t blocks = 0;
  for (const Target& target : targets) blocks += panels.blocks(matrix(target.product));
  const auto prepare = [&](int64_t member) { pack(size, rows, d_gates.data(), first_gate, desks[member]); };
  team.each(blocks, prepare, [&](int64_t number, int64_t member) {
    const Target* target = targets.begin();
    for (; number >= panels.blocks(matrix(target->product)); ++target) number -= panels.blocks(matrix(target->product));
    multiply(target->product, number, rows, desks[member]);
    const T* sums = desks[member].sums.data();
    const int64_t first = number * columns, width = std::min(columns, panels.size(matrix(target->product)) - first);
    for (int64_t index = 0; index < rows; ++index, sums += columns) {
      T* row = target->to[index] + first;
      for (int64_t i = 0; i < width; ++i) row[i] = target->add ? row[i] + sums[i] : sums[i];
    }
  });
}
template <typename T>
void Walk<T>::leave_emotion() {
  for (int64_t index = 0; index < running; ++index)
    d_gates[index] = gates.e + row(index) * 4 * e, to[index] = emotion.data() + index * e;
  team.each(running, [&](int64_t index, int64_t) {
    T* d = emotion.data() + index * e;
    if (given.emotion) {
      const T* d_out = given.emotion + ((dialogue(index) * scan.steps + at[index]) * scan.directions + way) * e;
      for (int64_t i = 0; i < e; ++i) d[i] += d_out[i];
    }
    drop_from(g + p, index, e, d);
    const int64_t here = row(index);
    use.gru_backward(e, trace.gates_e + here * 4 * e, trace.e_before + here * e, d, gates.e + here * 4 * e, d);
  });
  propagate(e, running, {{kEmotionState, to.data(), true}});
}

// What the emotion GRU hands to all new party states of a block of steps.
template <typename T>
void Walk<T>::multiply_emotion_inputs(int64_t first, int64_t end) {
  std::vector<const T*> rows;
  std::vector<T*> slots;
  for (int64_t step = first; step < end && place(step); ++step)
    for (int64_t index = 0; index < running; ++index) {
      rows.push_back(gates.e + row(index) * 4 * e);
      slots.push_back(spoken_to.data() + slot(step, index) * p);
    }
  const int64_t total = rows.size();
  team.each((total + kBatch - 1) / kBatch, [&](int64_t batch, int64_t member) {
    const int64_t from = batch * kBatch, m = std::min(kBatch, total - from);
    pack(e, m, rows.data() + from, 0, desks[member]);
    for (int64_t number = 0; number < panels.blocks(matrix(kEmotionInput)); ++number) {
      multiply(kEmotionInput, number, m, desks[member]);
      const int64_t begin = number * columns, width = std::min(columns, p - begin);
      for (int64_t index = 0; index < m; ++index)
        std::memcpy(slots[from + index] + begin, desks[member].sums.data() + index * columns, width * sizeof(T));
    }
  });
}

template <typename T>
void Walk<T>::leave_listeners() {
  const int64_t parties = scan.parties;
  team.each(running, [&](int64_t index, int64_t) {
    T* heard = gates.heard + row(index) * 3 * p;
    std::fill_n(heard, 3 * p, T(0));
    for (int64_t who = 0; who < parties; ++who) {
      const int64_t here = row(index) * parties + who;
      T *d = party_of(index, who), *to_gates = gates.l + here * 4 * p;
      if (who == spoken[index]) {
        std::fill_n(to_gates, 4 * p, T(0));
        continue;
      }
      drop_from(g + p + e + who * p, index, p, d);
      use.gru_backward(p, trace.gates_l + here * 4 * p, trace.party_before + here * p, d, to_gates, d);
      for (int64_t i = 0; i < 3 * p; ++i) heard[i] += to_gates[p + i];
    }
    std::memcpy(d_input(index, at[index]) + 3 * g + 3 * p, heard, 3 * p * sizeof(T));
  });
  int64_t listening = 0;
  for (int64_t index = 0; index < running; ++index)
    for (int64_t who = 0; who < parties; ++who) {
      if (who == spoken[index]) continue;
      d_gates[listening] = gates.l + (row(index) * parties + who) * 4 * p;
      to[listening++] = party_of(index, who);
    }
  propagate(p, listening, {{kListener, to.data(), true}});
  for (int64_t index = 0; index < running; ++index)
    d_gates[index] = gates.heard + row(index) * 3 * p, to[index] = party_of(index, spoken[index]);
  propagate(p, running, {{kHeard, to.data(), true}}, 1);
}

template <typename T>
void Walk<T>::leave_speakers() {
  for (int64_t index = 0; index < running; ++index) {
    d_gates[index] = gates.p + row(index) * 4 * p;
    to[index] = party_of(index, spoken[index]), also_to[index] = context.data() + index * g;
  }
  team.each(running, [&](int64_t index, int64_t) {
    const int64_t here = row(index);
    const T* by_emotion = spoken_to.data() + slot(now, index) * p;
    T *d = to[index], *to_gates = gates.p + here * 4 * p;
    for (int64_t i = 0; i < p; ++i) d[i] += by_emotion[i];
    drop_from(g, index, p, d);
    use.gru_backward(p, trace.gates_p + here * 4 * p, trace.q_before + here * p, d, to_gates, d);
    std::memcpy(d_input(index, at[index]) + 3 * g, to_gates + p, 3 * p * sizeof(T));
  });
  propagate(p, running, {{kPartyState, to.data(), true}, {kPartyInput, also_to.data(), false}});
}

// Attention, and the global state, which every later step has added its part to by now.
template <typename T>
void Walk<T>::leave_global() {
  for (int64_t index = 0; index < running; ++index) {
    d_gates[index] = gates.g + row(index) * 4 * g;
    to[index] = party_of(index, spoken[index]);
    also_to[index] = now ? states_of(index) + scan.position(way, dialogue(index), now - 1) * g : nullptr;
  }
  team.each(running, [&](int64_t index, int64_t member) {
    const int64_t here = row(index);
    T *own = states_of(index), *to_gates = gates.g + here * 4 * g, *direct = desks[member].direct.data();
    attend_backward(
        scan, way, dialogue(index), now, given, trace.context + here * g, context.data() + index * g, own,
        result.queries + cell[index] * g);
    T* d = own + at[index] * g;
    drop_from(0, index, g, d);
    use.gru_backward(g, trace.gates_g + here * 4 * g, trace.g_before + here * g, d, to_gates, direct);
    std::memcpy(d_input(index, at[index]), to_gates + g, 3 * g * sizeof(T));
    for (int64_t i = 0; i < g && now > 0; ++i) also_to[index][i] += direct[i];
  });
  const Target parties{kGlobalInput, to.data(), true}, earlier{kGlobalState, also_to.data(), true};
  if (now > 0) propagate(g, running, {parties, earlier});
  else propagate(g, running, {parties});
}

template <typename T>
std::tuple<Tensor, Tensor, Tensor> run(
    const ScanArguments& given, const std::optional<Tensor>& d_emotion, const std::optional<Tensor>& d_global,
    const std::optional<Tensor>& d_party, const Tensor& global_states, const Tensor& attentions, const Tensor& reserve, ScalarType type, const char* name) {
  const Scan<T> scan(given, type, name);
  const int64_t ways = scan.directions, count = scan.dialogues, steps = scan.steps;
  const int64_t width = count * steps * Trace<T>::width(scan), d_width = count * steps * Gates<T>::width(scan);
  const auto check = [&](const char* argument, const Tensor& tensor, std::initializer_list<int64_t> shape) {
    check_type(argument, tensor, type, name);
    check_shape(argument, tensor, shape);
  };
  if (d_emotion) check("d_emotion", *d_emotion, {count, steps, ways * scan.e});
  if (d_global) check("d_global", *d_global, {ways, count, steps, scan.g});
  if (d_party) check("d_party", *d_party, {ways, count, scan.parties, scan.p});
  check("global_states", global_states, {ways, count, steps, scan.g});
  check("attentions", attentions, {ways, count, steps, scan.past + steps});
  check("reserve", reserve, {ways, width});
  const Tensor d_inputs = pooled<T>(global_states, {count, steps, ways, scan.input_width()});
  const Tensor d_queries = fresh<T>(global_states, {ways, count, steps, scan.g});
  const Tensor d_gates = pooled<T>(global_states, {ways, d_width});
  const Rows<T> emotion(d_emotion), global(d_global), party(d_party), states(global_states), attention(attentions);
  const Rows<T> kept(reserve);
  const Given<T> all{emotion.data, global.data, party.data, states.data, attention.data};
  const Result<T> result{writable<T>(d_inputs), writable<T>(d_queries)};
  if (count * steps > 0) {
    const Panels<T> panels(scan, matrices(scan), Direction::backward);
    in_teams(scan, [&](const Share<T>& share, Team& team) {
      const Trace<T> trace(scan, const_cast<T*>(kept.data) + share.way * width, scan.rows);
      const Gates<T> gates(scan, writable<T>(d_gates) + share.way * d_width);
      Walk<T>(scan, share, all, panels, trace, gates, result, team).run();
    });
  }
  return {d_inputs, d_queries, d_gates};
}

std::tuple<Tensor, Tensor, Tensor> dialogue_rnn_scan_chain(
    const std::optional<Tensor>& d_emotion, const std::optional<Tensor>& d_global, const std::optional<Tensor>& d_party,
    const Tensor& queries, const Tensor& speakers, const Tensor& lengths, const std::vector<Tensor>& weights,
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
