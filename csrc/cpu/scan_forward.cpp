// Forward pass of the DialogueRNN scan: a team of threads walks a share of the dialogues step by step.
#include <torch/csrc/stable/library.h>

#include <cmath>
#include <tuple>

#include "panels.h"

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
void prefetch(const T* from, int64_t count) {
  constexpr int64_t kLine = 64 / sizeof(T);
  for (int64_t i = 0; i < count; i += kLine) __builtin_prefetch(from + i);
  __builtin_prefetch(from + count - 1);
}

template <typename T>
struct Start {
  Rows<T> party, emotion;
};

template <typename T>
class Walk {
 public:
  Walk(const Scan<T>& scan, const Share<T>& share, const Inputs<T>& inputs, const Start<T>& start,
       const Panels<T>& panels, const Result<T>& result, T* reserve, Team& team);
  void run();

 private:
  struct Gru {
    int64_t size, width;  // of a state, and of a row of `left`; width 0 where that product is in the input already
    Product input, state;
    const T* bias;
  };
  // Where a member of the team computes.
  struct Desk {
    Desk(int64_t packed, int64_t summed, int64_t scored)
        : left(packed), before(packed), sums(summed), scores(scored) {}
    Buffer<T> left, before, sums, scores;
  };

  bool place(int64_t step);
  template <typename Finish>
  void advance(const Gru& gru, int64_t rows, int64_t sources, const Finish& finish);
  void update_global();
  void attend(int64_t index, T* scores);
  void update_speakers();
  void update_listeners();
  void multiply_emotion_inputs(int64_t begin, int64_t end);
  void update_emotion();
  void fill_padding(int64_t index);

  size_t matrix(Product product) const { return way * (scan.listener ? 8 : 6) + product; }
  const T* bias(Weight which) const { return scan.weight(way, which); }
  int64_t dialogue(int64_t index) const { return scan.order[share.ranks[index]]; }
  int64_t slot(int64_t step, int64_t index) const { return step % block * count + index; }
  int64_t row(int64_t index) const { return saved ? scan.offsets[now] + share.ranks[index] : slot(now, index); }
  T* party_of(int64_t index, int64_t who) const {
    return result.party + ((way * scan.dialogues + dialogue(index)) * scan.parties + who) * p;
  }
  T* emotion_at(int64_t index, int64_t position) const {
    return result.emotion + ((dialogue(index) * scan.steps + position) * scan.directions + way) * e;
  }
  int64_t previous(int64_t index) const { return scan.position(way, dialogue(index), now - 1); }
  T* saved_at(T* gates) const { return saved ? gates : nullptr; }
  void drop_from(int64_t offset, int64_t index, int64_t first, int64_t width, T* after) const {
    if (scan.keep) drop(width, after + first, scan.kept(cell[index]) + offset + first, scan.scale);
  }

  const Scan<T>& scan;
  const Share<T>& share;
  const Inputs<T>& inputs;
  const Start<T>& start;
  const Panels<T>& panels;
  const Result<T>& result;
  Team& team;
  const Kernels<T>& use = kernels<T>();
  const int64_t way = share.way, count = share.ranks.size(), g = scan.g, p = scan.p, e = scan.e;
  const int64_t columns = use.columns, block = scan.block();
  const bool saved;
  Buffer<T> own;  // the trace of one block of steps, where none is saved
  const Trace<T> trace;
  Buffer<T> emotion_inputs;
  std::vector<T> zeros;
  std::deque<Desk> desks;

  int64_t now = 0, running = 0;                // the step, and how many dialogues are that long
  std::vector<int64_t> cell, spoken, at;       // by place in the share
  std::vector<const T*> input, left, before;   // rows of the next products
  std::vector<Cell<T>> cells;
  std::vector<int64_t> source;  // which row of `left` each cell hears
};

template <typename T>
Walk<T>::Walk(
    const Scan<T>& scan_, const Share<T>& share_, const Inputs<T>& inputs_, const Start<T>& start_,
    const Panels<T>& panels_, const Result<T>& result_, T* reserve, Team& team_)
    : scan(scan_), share(share_), inputs(inputs_), start(start_), panels(panels_), result(result_), team(team_),
      saved(reserve != nullptr),
      own(saved ? 0 : block * count * Trace<T>::width(scan)),
      trace(scan, saved ? reserve : own.data(), saved ? scan.rows : block * count),
      emotion_inputs(block * count * 3 * e),
      zeros(scan.largest()),
      cell(count), spoken(count), at(count), input(count) {
  const int64_t rows = std::max(count * (scan.listener ? scan.parties : 1), kBatch);
  left.resize(rows), before.resize(rows), cells.resize(rows), source.resize(rows);
  for (int64_t member = 0; member < team.size(); ++member)
    desks.emplace_back(panels.pack_size(rows, scan.largest()), 7 * rows * columns, scan.past + scan.steps);
}

template <typename T>
void Walk<T>::run() {
  for (int64_t index = 0; index < count; ++index) {
    const int64_t size = scan.parties * p;
    T* party = party_of(index, 0);
    if (start.party) std::memcpy(party, start.party.data + dialogue(index) * size, size * sizeof(T));
    else std::fill(party, party + size, T(0));
  }
  for (int64_t begin = 0; begin < scan.steps; begin += block) {
    const int64_t end = std::min(begin + block, scan.steps);
    for (int64_t step = begin; step < end && place(step); ++step) {
      update_global();
      team.each(running, [&](int64_t index, int64_t member) { attend(index, desks[member].scores.data()); });
      update_speakers();
      if (scan.listener) update_listeners();
    }
    multiply_emotion_inputs(begin, end);
    for (int64_t step = begin; step < end && place(step); ++step) update_emotion();
  }
  team.each(count, [&](int64_t index, int64_t) { fill_padding(index); });
}

// Finds where everything of a step lies; false where no dialogue is that long.
template <typename T>
bool Walk<T>::place(int64_t step) {
  now = step, running = share.running(scan, step);
  for (int64_t index = 0; index < running; ++index) {
    at[index] = scan.position(way, dialogue(index), step);
    cell[index] = scan.cell(way, dialogue(index), at[index]);
    spoken[index] = scan.speaker(dialogue(index), at[index]);
    input[index] = inputs.at(way, dialogue(index), at[index]);
  }
  return running > 0;
}

// Moves the states of all `cells` one step. Each block of them needs all of `left` and `before`, and nothing of the other
// blocks. `left` has as many rows, or where `sources` is not 0 that many, and `source` says which is whose.
template <typename T>
template <typename Finish>
void Walk<T>::advance(const Gru& gru, int64_t rows, int64_t sources, const Finish& finish) {
  const int64_t heard = sources ? sources : rows, size = gru.size;
  const auto pack = [&](int64_t member) {
    if (gru.width) panels.pack(heard, gru.width, left.data(), 0, desks[member].left.data());
    panels.pack(rows, size, before.data(), 0, desks[member].before.data());
  };
  team.each(panels.blocks(matrix(gru.state)), pack, [&](int64_t number, int64_t member) {
    const Desk& desk = desks[member];
    const int64_t first = number * columns, width = std::min(columns, size - first), gate = rows * columns;
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t part = 0; part < 3; ++part) prefetch(cells[row].input + part * size + first, width);
    T *sums = desk.sums.data(), *of_left = sums + 4 * gate;
    const auto sum_of = [&](int64_t part) { return sums + (part == 2 ? 3 : part) * gate; };  // r, z, n
    if (gru.width == 0) std::fill(sum_of(2), sum_of(2) + gate, T(0));
    for (int64_t part = 0; part < 3 && gru.width > 0; ++part) {
      T* to = sources ? of_left : sum_of(part);
      panels.multiply(matrix(gru.input), part, number, heard, left.data(), desk.left.data(), to, false);
      for (int64_t row = 0; row < rows && sources > 0; ++row)
        std::memcpy(sum_of(part) + row * columns, of_left + source[row] * columns, columns * sizeof(T));
    }
    for (int64_t part = 0; part < 3; ++part) {  // r, z, h_n
      const bool add = gru.width > 0 && part < 2;
      panels.multiply(
          matrix(gru.state), part, number, rows, before.data(), desk.before.data(), sums + part * gate, add);
    }
    use.gru(rows, size, first, width, sums, gru.bias, cells.data());
    for (int64_t row = 0; row < rows; ++row) finish(row, first, width);
  });
}

template <typename T>
void Walk<T>::update_global() {
  for (int64_t index = 0; index < running; ++index) {
    const int64_t known = scan.known(dialogue(index));
    before[index] = zeros.data();
    if (now > 0) before[index] = result.global + scan.cell(way, dialogue(index), previous(index)) * g;
    else if (known > 0) before[index] = scan.history.data + (dialogue(index) * scan.past + known - 1) * g;
    left[index] = party_of(index, spoken[index]);
    T* gates = saved_at(trace.gates_g + row(index) * 4 * g);
    cells[index] = {input[index], before[index], result.global + cell[index] * g, gates};
  }
  advance({g, p, kGlobalInput, kGlobalState, bias(kBgh)}, running, 0, [&](int64_t index, int64_t first, int64_t width) {
    drop_from(0, index, first, width, cells[index].after);
  });
}

// The context of a dialogue; and what the parties, and the backward pass, will want to know of the step before.
template <typename T>
void Walk<T>::attend(int64_t index, T* scores) {
  T* context = trace.context + row(index) * g;
  std::memcpy(trace.q_before + row(index) * p, party_of(index, spoken[index]), p * sizeof(T));
  if (saved) std::memcpy(trace.g_before + row(index) * g, cells[index].before, g * sizeof(T));
  if (scan.listener) {
    const int64_t size = scan.parties * p;
    std::memcpy(trace.party_before + row(index) * size, party_of(index, 0), size * sizeof(T));
  }
  const int64_t known = scan.known(dialogue(index)), width = scan.past + scan.steps;
  const int64_t oldest = way == 1 ? at[index] + 1 : 0;  // of the stretch of positions read before
  T* weights = result.attention + cell[index] * width;
  const T* given = scan.history.data + (scan.past ? dialogue(index) * scan.past * g : 0);
  const T* fresh = result.global + scan.cell(way, dialogue(index), oldest) * g;
  const T* query = scan.queries.data + cell[index] * g;
  std::fill(weights, weights + width, T(0));
  std::fill(context, context + g, T(0));
  if (known + now == 0) return;
  use.dots(known, g, g, given, query, scores);
  use.dots(now, g, g, fresh, query, scores + known);
  use.softmax(known + now, scores);
  use.mix(known, g, given, scores, context);
  use.mix(now, g, fresh, scores + known, context);
  std::memcpy(weights, scores, known * sizeof(T));
  std::memcpy(weights + scan.past + oldest, scores + known, now * sizeof(T));
}

template <typename T>
void Walk<T>::update_speakers() {
  for (int64_t index = 0; index < running; ++index) {
    left[index] = trace.context + row(index) * g;
    before[index] = trace.q_before + row(index) * p;
    T* gates = saved_at(trace.gates_p + row(index) * 4 * p);
    cells[index] = {input[index] + 3 * g, before[index], trace.q_after + row(index) * p, gates};
  }
  advance({p, g, kPartyInput, kPartyState, bias(kBph)}, running, 0, [&](int64_t index, int64_t first, int64_t width) {
    const T* after = cells[index].after;
    drop_from(g, index, first, width, cells[index].after);
    std::memcpy(party_of(index, spoken[index]) + first, after + first, width * sizeof(T));
  });
}

template <typename T>
void Walk<T>::update_listeners() {
  const int64_t parties = scan.parties;
  int64_t listening = 0;
  for (int64_t index = 0; index < running; ++index) {
    left[index] = trace.q_after + row(index) * p;
    for (int64_t who = 0; who < parties; ++who) {
      T* gates = trace.gates_l + (row(index) * parties + who) * 4 * p;
      if (who == spoken[index]) {
        if (saved) std::fill(gates, gates + 4 * p, T(0));
        continue;
      }
      source[listening] = index;
      before[listening] = trace.party_before + (row(index) * parties + who) * p;
      cells[listening] = {input[index] + 3 * g + 3 * p, before[listening], party_of(index, who), saved_at(gates)};
      ++listening;
    }
  }
  if (listening == 0) return;
  advance(
      {p, p, kHeard, kListener, bias(kBlh)}, listening, running, [&](int64_t listener, int64_t first, int64_t width) {
        const int64_t index = source[listener], who = (cells[listener].after - party_of(index, 0)) / p;
        drop_from(g + p + e + who * p, index, first, width, cells[listener].after);
      });
}

// The products of all new party states of a block of steps.
template <typename T>
void Walk<T>::multiply_emotion_inputs(int64_t begin, int64_t end) {
  std::vector<const T*> rows;
  std::vector<T*> to;
  for (int64_t step = begin; step < end && place(step); ++step)
    for (int64_t index = 0; index < running; ++index) {
      rows.push_back(trace.q_after + row(index) * p);
      to.push_back(emotion_inputs.data() + slot(step, index) * 3 * e);
    }
  const int64_t total = rows.size(), blocks = panels.blocks(matrix(kEmotionInput));
  team.each((total + kBatch - 1) / kBatch, [&](int64_t batch, int64_t member) {
    const int64_t from = batch * kBatch, m = std::min(kBatch, total - from);
    T *packed = desks[member].left.data(), *sums = desks[member].sums.data();
    panels.pack(m, p, rows.data() + from, 0, packed);
    for (int64_t part = 0; part < 3 * blocks; ++part) {
      const int64_t gate = part % 3, first = part / 3 * columns, width = std::min(columns, e - first);
      panels.multiply(matrix(kEmotionInput), gate, part / 3, m, rows.data() + from, packed, sums, false);
      for (int64_t row = 0; row < m; ++row)
        for (int64_t i = 0; i < width; ++i)
          to[from + row][gate * e + first + i] = sums[row * columns + i] + bias(kBei)[gate * e + first + i];
    }
  });
}

template <typename T>
void Walk<T>::update_emotion() {
  for (int64_t index = 0; index < running; ++index) {
    before[index] = start.emotion ? start.emotion.data + dialogue(index) * e : zeros.data();
    if (now > 0) before[index] = emotion_at(index, previous(index));
    const T* given = emotion_inputs.data() + slot(now, index) * 3 * e;
    cells[index] = {given, before[index], emotion_at(index, at[index]), saved_at(trace.gates_e + row(index) * 4 * e)};
  }
  advance({e, 0, kEmotionInput, kEmotionState, bias(kBeh)}, running, 0, [&](int64_t index, int64_t first, int64_t width) {
    drop_from(g + p, index, first, width, cells[index].after);
    if (saved) std::memcpy(trace.e_before + row(index) * e + first, before[index] + first, width * sizeof(T));
  });
}

template <typename T>
void Walk<T>::fill_padding(int64_t index) {
  const int64_t width = scan.past + scan.steps;
  for (int64_t position = scan.lengths.data[dialogue(index)]; position < scan.steps; ++position) {
    const int64_t here = scan.cell(way, dialogue(index), position);
    std::fill_n(emotion_at(index, position), e, T(0));
    std::fill_n(result.global + here * g, g, T(0));
    std::fill_n(result.attention + here * width, width, T(0));
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
  const Tensor reserve = pooled<T>(inputs, {ways, width});
  const Result<T> result{writable<T>(emotion), writable<T>(global), writable<T>(party), writable<T>(attention)};
  const Start<T> start{Rows<T>(party_states), Rows<T>(emotion_state)};
  const Inputs<T> x(inputs);
  if (count > 0) {
    const Panels<T> panels(scan, matrices(scan), Direction::forward);
    T* kept = width ? writable<T>(reserve) : nullptr;
    in_teams(scan, [&](const Share<T>& share, Team& team) {
      Walk<T>(scan, share, x, start, panels, result, kept ? kept + share.way * width : nullptr, team).run();
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
