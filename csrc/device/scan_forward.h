// The forward pass of the DialogueRNN scan as the program of one block. One barrier an utterance is enough without a
// listener, because nothing an utterance adds is read before the next one:
//   - W_pc c_t is the mean of W_pc g_i under the attention; the block keeps W_pc g_i of its own units;
//   - scores of the next query with all states but the newest are shared out among the blocks, that with the newest
//     is computed by each;
//   - the emotion state, which only the emotion GRU reads, lags an utterance behind.
// With a listener every party moves after the one that speaks, which takes a second barrier; emotions then need not lag.
#pragma once

#include "scan.h"

namespace mm_emotion::device {

template <typename W, typename T>
struct ForwardArguments {
  ScanSizes sizes;
  int32_t save;
  double scale;
  int64_t input_stride[3];  // of directions, dialogues, positions
  const T *inputs, *queries;
  const bool* keep;
  const T *history, *start_party, *start_emotion, *zeros;
  const W* weights[2 * kWeights];
  int32_t* order;
  T *emotion, *global, *party, *attention;
  T* trace;   // (R, ScanTrace.size)
  T* scores;  // (3, R, B, V + U) of the step at hand, of the next one, and of the one before, which may still be read
  W* packed;  // (blocks, size of a block's weights), unless they are resident
  uint32_t* flags;
  ScanTrace<T> traces[2];  // what is in `trace`

  void settle() {
    const int64_t size = ScanTrace<T>(sizes, save, nullptr).size;
    for (int way = 0; way < sizes.directions; ++way) traces[way] = ScanTrace<T>(sizes, save, trace + way * size);
  }
};

// Shared memory of a block.
template <typename W, typename T>
struct ForwardShared {
  MM_PORTABLE ForwardShared(const ScanSizes& s, Carver& shared) {
    const int chunk = s.chunk, g = s.most_units(s.g), p = s.most_units(s.p), e = s.most_units(s.e);
    MM_UNROLL
    for (int i = 0; i < 4; ++i) x[i] = shared.take<const T*>(chunk);
    top = shared.take<T>(chunk), sum = shared.take<T>(chunk), newest = shared.take<T>(chunk);
    // What multiplies the same vectors lies side by side.
    gq_pq = shared.take<T>(3 * (g + p) * chunk), gh_pc = shared.take<T>(3 * (g + p) * chunk);
    mixed = shared.take<T>(3 * p * chunk);
    parts = shared.take<T>(part_values<W>(s, {3 * (g + p), 3 * (g + p), 3 * e, 3 * e}));
    eq = shared.take<T>(3 * e * chunk), eh = shared.take<T>(3 * e * chunk);
    if (s.resident) packed = shared.take<W>(packed_size(s));
  }
  MM_PORTABLE static int64_t packed_size(const ScanSizes& s) {
    const int64_t g = s.most_units(s.g), p = s.most_units(s.p), e = s.most_units(s.e);
    return packed_values<W>(3 * (g + p), s.p) + packed_values<W>(3 * (g + p), s.g) + packed_values<W>(3 * e, s.p) +
           packed_values<W>(3 * e, s.e) + (s.listener ? 2 * packed_values<W>(3 * p, s.p) : 0);
  }
  const T** x[4];
  T *top, *sum, *newest, *gq_pq, *gh_pc, *mixed, *parts, *eq, *eh;
  W* packed = nullptr;
};

template <typename W, typename T>
MM_PORTABLE int64_t forward_shared_bytes(const ScanSizes& sizes) {
  Carver shared{nullptr};
  Group<int>::carve(sizes, shared);
  ForwardShared<W, T> all(sizes, shared);
  return shared.used;
}

template <typename Block, typename W, typename T>
class Forward {
 public:
  MM_DEVICE Forward(Block& block_, const ForwardArguments<W, T>& a_, Carver& shared)
      : block(block_), a(a_), s(a_.sizes), group(block_, s, a_.order, shared, a_.flags), memory(s, shared),
        trace(a_.traces[group.way]), chunk(s.chunk), width(s.past + s.steps) {
    if (!s.resident) memory.packed = a.packed + block.index() * ForwardShared<W, T>::packed_size(s);
  }

  MM_DEVICE void run() {
    begin();
    if (s.past > 0 || s.listener) group.barrier();  // else the first utterance reads nothing that a block has put
    const int steps = group.count ? group.ends[0] : 0;
    for (int step = 0; step < steps; ++step) {
      states(step);
      if (!s.listener) continue;
      emotions(step);
      listen(step);
      if (step + 1 < steps) group.barrier();
    }
    if (!s.listener) emotions(steps - 1);
  }

 private:
  // Rows r, z, n of the own units of a matrix (3 size, columns), unit by unit, behind `before` rows of the same width.
  MM_DEVICE void pack(W* to, int before, Weight which, Units own, int size, int columns) {
    const W* from = a.weights[group.way * s.share() + which];
    block.warps(3 * own.count, [&](int row, int lane) {
      const W* line = from + (static_cast<int64_t>(row % 3) * size + own.first + row / 3) * columns;
      for (int k = lane; k < columns; k += kLanes) put_packed(block, to, before + row, k, columns, line[k]);
    });
  }
  MM_DEVICE void take(W*& next, int rows, int columns) { next += packed_values<W>(rows, columns); }

  MM_DEVICE void begin() {
    W* next = memory.packed;
    const Units g = group.g, p = group.p, e = group.e;
    const int states = 3 * (g.count + p.count);
    w_q = next, pack(next, 0, kGq, g, s.g, s.p), pack(next, 3 * g.count, kPq, p, s.p, s.p), take(next, states, s.p);
    w_g = next, pack(next, 0, kGh, g, s.g, s.g), pack(next, 3 * g.count, kPc, p, s.p, s.g), take(next, states, s.g);
    w_eq = next, pack(next, 0, kEq, e, s.e, s.p), take(next, 3 * e.count, s.p);
    w_eh = next, pack(next, 0, kEh, e, s.e, s.e), take(next, 3 * e.count, s.e);
    if (s.listener) {
      w_ls = next, pack(next, 0, kLs, p, s.p, s.p), take(next, 3 * p.count, s.p);
      w_lh = next, pack(next, 0, kLh, p, s.p, s.p), take(next, 3 * p.count, s.p);
    }
    group.clear_padding(a.emotion + group.way * s.e, s.e, s.directions * s.e);
    group.clear_padding(a.global + group.cell(0) * s.g, s.g, s.g);
    group.clear_padding(a.attention + group.cell(0) * width, width, width);
    if (a.save) {
      group.clear_padding(trace.q_before, s.p, s.p), group.clear_padding(trace.q_after, s.p, s.p);
      group.clear_padding(trace.context, s.g, s.g), group.clear_padding(trace.g_before, s.g, s.g);
      group.clear_padding(trace.e_before, s.e, s.e);
      group.clear_padding(trace.party_before, s.parties * s.p, s.parties * s.p);
    }
    block.each(group.count * s.parties * p.count, [&](int index) {
      const int unit = p.first + index % p.count, which = index / p.count % s.parties;
      const int i = index / p.count / s.parties;
      const int64_t at = static_cast<int64_t>(which) * s.p + unit, row = static_cast<int64_t>(s.parties) * s.p;
      const T start = a.start_party ? block.get(a.start_party + group.who[i] * row + at) : T(0);
      block.put(a.party + (static_cast<int64_t>(group.way) * s.dialogues + group.who[i]) * row + at, start);
      if (s.listener && group.ends[i] > 0) block.put(trace.party_before + group.row(i, 0) * row + at, start);
    });
    if (s.past == 0) return;
    for (int i = 0; i < group.count; ++i) {
      for (int first = 0; first < group.known(i); first += chunk) {
        const int now = smaller(chunk, group.known(i) - first);
        block.each(now, [&](int v) { memory.x[0][v] = state(i, first + v); });
        const Product<W, T> products[] = {{w_g, 3 * (group.g.count + p.count), s.g, now, memory.x[0], memory.gh_pc}};
        multiply(block, products, chunk, memory.parts);
        put_keys(now, [&](int v) { return past_key(i, first + v); });
      }
    }
    score(0);
  }

  // The products of the party GRU behind those of the global one.
  MM_DEVICE T* pq() const { return memory.gq_pq + 3 * group.g.count * chunk; }
  MM_DEVICE T* pc() const { return memory.gh_pc + 3 * group.g.count * chunk; }

  // The state that a dialogue read as number `j`: those of the history come first.
  MM_DEVICE const T* state(int i, int j) const {
    const int known = group.known(i);
    if (j < known) return a.history + (static_cast<int64_t>(group.who[i]) * s.past + j) * s.g;
    return a.global + group.cell(group.row(i, j - known)) * s.g;
  }
  MM_DEVICE T* past_key(int i, int j) const {
    return trace.past_keys + (static_cast<int64_t>(group.who[i]) * s.past + j) * 3 * s.p;
  }
  MM_DEVICE T* key(int i, int j) const {
    const int known = group.known(i);
    return j < known ? past_key(i, j) : trace.keys + group.row(i, j - known) * 3 * s.p;
  }
  MM_DEVICE T* scores(int i, int step) const {
    return a.scores + ((static_cast<int64_t>(step % 3) * s.directions + group.way) * s.dialogues + group.who[i]) * width;
  }
  MM_DEVICE const T* query(int i, int step) const { return a.queries + group.cell(group.row(i, step)) * s.g; }
  MM_DEVICE const T* input(int i, int step) const {
    return a.inputs + group.way * a.input_stride[0] + group.who[i] * a.input_stride[1] +
           group.position(i, step) * a.input_stride[2];
  }
  MM_DEVICE T* emotion(int i, int step) const {
    return a.emotion + (group.row(i, step) * s.directions + group.way) * s.e;
  }
  MM_DEVICE int speaker(int i, int step) const { return group.order.speaker[group.row(i, step)]; }
  MM_DEVICE T bias(Weight which, int at) const {
    return static_cast<T>(a.weights[group.way * s.share() + which][at]);
  }
  MM_DEVICE T dropped(T value, int i, int step, int at) const {
    if (a.keep == nullptr) return value;
    return a.keep[group.cell(group.row(i, step)) * s.keep_width() + at] ? value * static_cast<T>(a.scale) : T(0);
  }

  // What the party that speaks had as its state.
  MM_DEVICE const T* party_before(int i, int step) const {
    const int64_t row = group.row(i, step);
    const int which = speaker(i, step);
    if (s.listener) return trace.party_before + (row * s.parties + which) * s.p;
    const int previous = group.order.previous[group.cell(row)];
    if (previous >= 0) return trace.q_after + (static_cast<int64_t>(group.who[i]) * s.steps + previous) * s.p;
    if (a.start_party) return a.start_party + (static_cast<int64_t>(group.who[i]) * s.parties + which) * s.p;
    return a.zeros;
  }
  MM_DEVICE const T* global_before(int i, int step) const {
    const int newest = group.known(i) + step - 1;
    return newest < 0 ? a.zeros : state(i, newest);
  }
  MM_DEVICE const T* emotion_before(int i, int step) const {
    if (step > 0) return emotion(i, step - 1);
    return a.start_emotion ? a.start_emotion + static_cast<int64_t>(group.who[i]) * s.e : a.zeros;
  }

  // Products of W_pc, which is packed unit by unit, laid down gate by gate.
  template <typename To>
  MM_DEVICE void put_keys(int now, const To& to) {
    const Units p = group.p;
    block.each(now * 3 * p.count, [&](int index) {
      const int row = index % (3 * p.count), i = index / (3 * p.count);
      block.put(to(i) + static_cast<int64_t>(row % 3) * s.p + p.first + row / 3, pc()[row * chunk + i]);
    });
  }

  // Global state and the party that speaks; ends in a barrier.
  MM_DEVICE void states(int step) {
    const int running = group.running(step);
    for (int first = 0; first < running; first += chunk) {
      const int now = smaller(chunk, running - first);
      block.each(now, [&](int i) {
        memory.x[0][i] = party_before(first + i, step), memory.x[1][i] = global_before(first + i, step);
      });
      const Units g = group.g, p = group.p;
      const Product<W, T> products[] = {
          {w_q, 3 * (g.count + p.count), s.p, now, memory.x[0], memory.gq_pq},
          {w_g, 3 * (g.count + p.count), s.g, now, memory.x[1], memory.gh_pc}};
      multiply(block, products, chunk, memory.parts);
      if (step > 0) {
        put_keys(now, [&](int i) { return trace.keys + group.row(first + i, step - 1) * 3 * s.p; });
        block.template tiles<1, T>(
            now,
            [&](int i, int lane, T* sums) {
              const T* q = query(first + i, step);
              for (int k = lane; k < s.g; k += kLanes) sums[0] += block.get(q + k) * block.get(memory.x[1][i] + k);
            },
            [&](int i, int, T sum) { memory.newest[i] = sum; });
      }
      attend(step, first, now);
      if (running > chunk) leave(step, first, now);
      block.each(now * (g.count + p.count), [&](int index) {
        const int i = index / (g.count + p.count), unit = index % (g.count + p.count);
        if (unit < g.count) global_unit(step, first + i, i, unit);
        else party_unit(step, first + i, i, unit - g.count);
      });
    }
    if (!s.listener && step > 0) emotions(step - 1);
    score(step + 1);
    group.arrive();
    if (running <= chunk) leave(step, 0, running);  // while others still compute
    group.wait();
  }

  MM_DEVICE T score_of(int i, int slot, int step, int j, int reach) const {
    return step > 0 && j == reach - 1 ? memory.newest[slot] : block.get(scores(i, step) + j);
  }

  MM_DEVICE T weight(int i, int slot, int step, int j) const {
    return weight_of(score_of(i, slot, step, j, group.known(i) + step), memory.top[slot], memory.sum[slot]);
  }

  // Attention over all earlier states, and the mean of their keys under it.
  MM_DEVICE void attend(int step, int first, int now) {
    const Units p = group.p;
    block.template peaks<T>(
        now,
        [&](int i, int lane) {
          const int reach = group.known(first + i) + step;
          Peak<T> peak;
          for (int j = lane; j < reach; j += kLanes) peak = add(peak, score_of(first + i, i, step, j, reach));
          return peak;
        },
        [&](int i, const Peak<T>& peak) { memory.top[i] = peak.top, memory.sum[i] = peak.sum; });
    constexpr int kUnits = kSums<T> / 4;
    const int across = groups_of(p.count, kUnits);
    block.template tiles<kSums<T>, T>(
        now * across,
        [&](int tile, int lane, T* sums) {
          const int i = tile / across, unit = tile % across * kUnits, reach = group.known(first + i) + step;
          for (int j = lane; j < reach; j += kLanes) {
            const T share = weight(first + i, i, step, j);
            const T* from = key(first + i, j) + p.first + unit;
            MM_UNROLL
            for (int k = 0; k < 3 * kUnits; ++k)
              if (unit + k % kUnits < p.count)
                sums[k] += share * block.get(from + static_cast<int64_t>(k / kUnits) * s.p + k % kUnits);
          }
        },
        [&](int tile, int which, T sum) {
          const int unit = tile % across * kUnits + which % kUnits, gate = which / kUnits;
          if (gate < 3 && unit < p.count) memory.mixed[(3 * unit + gate) * chunk + tile / across] = sum;
        });
  }

  // What nothing waits for: the attention, and the contexts that the gradient of W_pc is made of.
  MM_DEVICE void leave(int step, int first, int now) {
    const Units g = group.g;
    block.warps(now, [&](int i, int lane) {
      if (!group.mine(first + i)) return;
      const int known = group.known(first + i), end = group.ends[first + i];
      T* to = a.attention + group.cell(group.row(first + i, step)) * width;
      for (int column = lane; column < width; column += kLanes) {
        const int at = column - s.past, read = group.way == 1 ? end - 1 - at : at;
        const bool past = at < 0 && column < known, fresh = at >= 0 && read >= 0 && read < step;
        block.put(to + column, past || fresh ? weight(first + i, i, step, past ? column : known + read) : T(0));
      }
    });
    if (!a.save) return;
    const int pieces = groups_of(g.count, kSums<T>);
    block.template tiles<kSums<T>, T>(
        now * pieces,
        [&](int tile, int lane, T* sums) {
          const int i = tile / pieces, unit = tile % pieces * kSums<T>, reach = group.known(first + i) + step;
          for (int j = lane; j < reach; j += kLanes) {
            const T share = weight(first + i, i, step, j);
            const T* from = state(first + i, j) + g.first + unit;
            MM_UNROLL
            for (int k = 0; k < kSums<T>; ++k)
              if (unit + k < g.count) sums[k] += share * block.get(from + k);
          }
        },
        [&](int tile, int which, T sum) {
          const int unit = tile % pieces * kSums<T> + which;
          if (unit < g.count)
            block.put(trace.context + group.row(first + tile / pieces, step) * s.g + g.first + unit, sum);
        });
  }

  // Sums of a GRU from its two products, unit by unit, and what the input and the state's bias add.
  template <typename Input>
  MM_DEVICE Gates<T> sums(const T* by_input, const T* by_state, int slot, int unit, const Input& add, Weight b, int size,
                          int at) const {
    const auto of = [&](const T* products, int gate) { return products[(3 * unit + gate) * chunk + slot]; };
    return {of(by_state, 2) + bias(b, 2 * size + at), of(by_input, 0) + of(by_state, 0) + add(0) + bias(b, at),
            of(by_input, 1) + of(by_state, 1) + add(1) + bias(b, size + at), of(by_input, 2) + add(2)};
  }
  MM_DEVICE void keep_gates(T* to, int64_t row, int size, int at, const Gates<T>& gates) {
    T* line = to + row * 4 * size + at;
    block.put(line, gates.h_n), block.put(line + size, gates.r);
    block.put(line + 2 * size, gates.z), block.put(line + 3 * size, gates.n);
  }

  MM_DEVICE void global_unit(int step, int i, int slot, int unit) {
    const int at = group.g.first + unit;
    const int64_t row = group.row(i, step);
    const T* x = input(i, step);
    const auto add = [&](int gate) { return block.get(x + gate * s.g + at); };
    Gates<T> gates = sums(memory.gq_pq, memory.gh_pc, slot, unit, add, kBgh, s.g, at);
    const T before = block.get(memory.x[1][slot] + at);
    block.put(a.global + group.cell(row) * s.g + at, dropped(gru(gates, before), i, step, at));
    if (!a.save) return;
    keep_gates(trace.gates_g, row, s.g, at, gates);
    block.put(trace.g_before + row * s.g + at, before);
  }

  MM_DEVICE void party_unit(int step, int i, int slot, int unit) {
    const int at = group.p.first + unit, which = speaker(i, step);
    const int64_t row = group.row(i, step), across = static_cast<int64_t>(s.parties) * s.p;
    const T* x = input(i, step) + 3 * s.g;
    const auto add = [&](int gate) { return block.get(x + gate * s.p + at); };
    Gates<T> gates = sums(memory.mixed, pq(), slot, unit, add, kBph, s.p, at);
    const T before = block.get(memory.x[0][slot] + at), after = dropped(gru(gates, before), i, step, s.g + at);
    block.put(trace.q_after + row * s.p + at, after);
    block.put(a.party + (static_cast<int64_t>(group.way) * s.dialogues + group.who[i]) * across + which * s.p + at, after);
    if (s.listener && step + 1 < group.ends[i])
      block.put(trace.party_before + group.row(i, step + 1) * across + which * s.p + at, after);
    if (!a.save) return;
    keep_gates(trace.gates_p, row, s.p, at, gates);
    if (s.listener) keep_gates(trace.gates_l, row * s.parties + which, s.p, at, Gates<T>{0, 0, 0, 0});
    block.put(trace.q_before + row * s.p + at, before);
    for (int gate = 0; gate < 3; ++gate)
      block.put(trace.mixed + row * 3 * s.p + gate * s.p + at, memory.mixed[(3 * unit + gate) * chunk + slot]);
  }

  MM_DEVICE void emotions(int step) {
    const int running = step < 0 ? 0 : group.running(step);
    const Units e = group.e;
    for (int first = 0; first < running; first += chunk) {
      const int now = smaller(chunk, running - first);
      block.each(now, [&](int i) {
        memory.x[2][i] = trace.q_after + group.row(first + i, step) * s.p;
        memory.x[3][i] = emotion_before(first + i, step);
      });
      const Product<W, T> products[] = {
          {w_eq, 3 * e.count, s.p, now, memory.x[2], memory.eq}, {w_eh, 3 * e.count, s.e, now, memory.x[3], memory.eh}};
      multiply(block, products, chunk, memory.parts);
      block.each(now * e.count, [&](int index) {
        const int slot = index / e.count, i = first + slot, unit = index % e.count, at = e.first + unit;
        const auto add = [&](int gate) { return bias(kBei, gate * s.e + at); };
        Gates<T> gates = sums(memory.eq, memory.eh, slot, unit, add, kBeh, s.e, at);
        const T before = block.get(memory.x[3][slot] + at);
        block.put(emotion(i, step) + at, dropped(gru(gates, before), i, step, s.g + s.p + at));
        if (!a.save) return;
        keep_gates(trace.gates_e, group.row(i, step), s.e, at, gates);
        block.put(trace.e_before + group.row(i, step) * s.e + at, before);
      });
    }
  }

  // Every party but the one that speaks.
  MM_DEVICE void listen(int step) {
    const int others = s.parties - 1, running = others ? group.running(step) : 0;
    const int together = larger(1, chunk / larger(others, 1)), piece = smaller(chunk, together * others);
    const Units p = group.p;
    for (int first = 0; first < running; first += together) {
      const int now = smaller(together, running - first);
      for (int begin = 0; begin < now * others; begin += piece) {
        const int count = smaller(piece, now * others - begin);
        const auto who = [&](int slot) {
          const int which = (begin + slot) % others;
          return which + (which >= speaker(first + (begin + slot) / others, step));
        };
        block.each(larger(now, count), [&](int i) {
          if (i < now) memory.x[0][i] = trace.q_after + group.row(first + i, step) * s.p;
          if (i >= count) return;
          const int64_t row = group.row(first + (begin + i) / others, step);
          memory.x[1][i] = trace.party_before + (row * s.parties + who(i)) * s.p;
        });
        const Product<W, T> products[] = {
            {w_ls, 3 * p.count, s.p, now, memory.x[0], pc()},
            {w_lh, 3 * p.count, s.p, count, memory.x[1], pq()}};
        multiply(block, products, chunk, memory.parts);
        block.each(count * p.count, [&](int index) {
          const int slot = index / p.count, unit = index % p.count, at = p.first + unit;
          const int inside = (begin + slot) / others, i = first + inside, which = who(slot);
          const int64_t row = group.row(i, step), across = static_cast<int64_t>(s.parties) * s.p;
          const T* x = input(i, step) + 3 * s.g + 3 * s.p;
          const auto add = [&](int gate) {
            return block.get(x + gate * s.p + at) + pc()[(3 * unit + gate) * chunk + inside];
          };
          Gates<T> gates = heard(slot, unit, add, at);
          const T before = block.get(memory.x[1][slot] + at);
          const T after = dropped(gru(gates, before), i, step, s.g + s.p + s.e + which * s.p + at);
          block.put(
              a.party + (static_cast<int64_t>(group.way) * s.dialogues + group.who[i]) * across + which * s.p + at, after);
          if (step + 1 < group.ends[i])
            block.put(trace.party_before + group.row(i, step + 1) * across + which * s.p + at, after);
          if (a.save) keep_gates(trace.gates_l, row * s.parties + which, s.p, at, gates);
        });
      }
    }
  }
  // As `sums`, where what comes from the input is the same for all parties of a dialogue and lies elsewhere.
  template <typename Input>
  MM_DEVICE Gates<T> heard(int slot, int unit, const Input& add, int at) const {
    const auto of = [&](int gate) { return pq()[(3 * unit + gate) * chunk + slot]; };
    return {of(2) + bias(kBlh, 2 * s.p + at), add(0) + of(0) + bias(kBlh, at), add(1) + of(1) + bias(kBlh, s.p + at),
            add(2)};
  }

  // Scores of the queries of `step` with all states that are already there, which the newest of step - 1 is not.
  MM_DEVICE void score(int step) {
    constexpr int kStates = 8;
    const int running = group.running(step), older = larger(0, step - 1);
    const int across = groups_of(s.past + older, kStates), total = running * across;
    const int own = total > group.member ? groups_of(total - group.member, s.members) : 0;
    block.template tiles<kStates, T>(
        own,
        [&](int tile, int lane, T* sums) {
          const int item = tile * s.members + group.member, i = item / across, first = item % across * kStates;
          const int count = group.known(i) + older;
          if (first >= count) return;
          const T* q = query(i, step);
          const T* from[kStates];
          MM_UNROLL
          for (int j = 0; j < kStates; ++j) from[j] = state(i, smaller(first + j, count - 1));
          for (int k = lane; k < s.g; k += kLanes) {
            const T value = block.get(q + k);
            MM_UNROLL
            for (int j = 0; j < kStates; ++j) sums[j] += value * block.get(from[j] + k);
          }
        },
        [&](int tile, int which, T sum) {
          const int item = tile * s.members + group.member, i = item / across, j = item % across * kStates + which;
          if (j < group.known(i) + older) block.put(scores(i, step) + j, sum);
        });
  }

  Block& block;
  const ForwardArguments<W, T>& a;
  const ScanSizes& s;
  Group<Block> group;
  ForwardShared<W, T> memory;
  const ScanTrace<T>& trace;
  const int chunk, width;
  const W *w_q, *w_g, *w_eq, *w_eh, *w_ls = nullptr, *w_lh = nullptr;
};

}  // namespace mm_emotion::device
