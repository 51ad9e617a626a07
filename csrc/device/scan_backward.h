// The sequential part of the backward pass of the DialogueRNN scan as the program of one block; weight gradients are
// left to one product each over the gradients of all gates. One barrier an utterance is enough without a listener:
//   - with the keys W_pc g_i and their mean W_pc c_t of the forward pass, the gradient of a score takes one product
//     with what the party GRU passes on, dp: weight * dp . (W_pc g_i - W_pc c_t);
//   - that of the newest state is computed by each block, the others are shared out and read an utterance later;
//   - a global state gathers what all later utterances add to its gradient when its turn comes;
//   - gradients of the emotion GRU, which depend on nothing else, run an utterance ahead.
// With a listener the parties that listen come before the one that speaks, which takes a second barrier.
#pragma once

#include "scan.h"

namespace mm_emotion::device {

template <typename W, typename T>
struct BackwardArguments {
  ScanSizes sizes;
  double scale;
  const T *d_emotion, *d_global, *d_party, *queries;
  const bool* keep;
  const T *history, *global, *attention;
  const W* weights[2 * kWeights];
  int32_t* order;
  const T* trace;                                          // (R, ScanTrace.size)
  T *d_inputs, *d_queries, *d_gates;                       // (B, U, R, width), (R, B, U, G), (R, ScanGates.size)
  T *d_scores, *d_contexts;                                // (R, B, U, V + U), (R, B, U, G)
  T *party_carry, *emotion_carry, *direct;  // (R, B, Q, P), (R, B, E), (R, B, G)
  W* packed;                                               // as in ForwardArguments
  uint32_t* flags;
  ScanTrace<const T> traces[2];  // what is in `trace` and in `d_gates`
  ScanGates<T> gates[2];

  void settle() {
    const int64_t size = ScanTrace<const T>(sizes, true, nullptr).size, d_size = ScanGates<T>(sizes, nullptr).size;
    for (int way = 0; way < sizes.directions; ++way) {
      traces[way] = ScanTrace<const T>(sizes, true, trace + way * size);
      gates[way] = ScanGates<T>(sizes, d_gates + way * d_size);
    }
  }
};

template <typename W, typename T>
struct BackwardShared {
  MM_PORTABLE BackwardShared(const ScanSizes& s, Carver& shared) {
    const int chunk = s.chunk, g = s.most_units(s.g), p = s.most_units(s.p), e = s.most_units(s.e);
    MM_UNROLL
    for (int i = 0; i < 7; ++i) x[i] = shared.take<const T*>(chunk);
    newest = shared.take<T>(chunk);
    pc = shared.take<T>(g * chunk), gh = shared.take<T>(g * chunk), gathered = shared.take<T>(g * chunk);
    pq = shared.take<T>(p * chunk), gq = shared.take<T>(p * chunk), eq = shared.take<T>(p * chunk);
    ls = shared.take<T>(p * chunk), eh = shared.take<T>(e * chunk);
    parts = shared.take<T>(part_values<W>(s, {g, g, p, p, p, e, p}));
    if (s.resident) packed = shared.take<W>(packed_size(s));
  }
  MM_PORTABLE static int64_t packed_size(const ScanSizes& s) {
    const int64_t g = s.most_units(s.g), p = s.most_units(s.p), e = s.most_units(s.e);
    return packed_values<W>(g, 3 * s.p) + packed_values<W>(g, 3 * s.g) + packed_values<W>(p, 3 * s.g) +
           packed_values<W>(p, 3 * s.p) + packed_values<W>(p, 3 * s.e) + packed_values<W>(e, 3 * s.e) +
           (s.listener ? 2 * packed_values<W>(p, 3 * s.p) : 0);
  }
  const T** x[7];
  T *newest, *pc, *gh, *gathered, *pq, *gq, *eq, *ls, *eh, *parts;
  W* packed = nullptr;
};

template <typename W, typename T>
MM_PORTABLE int64_t backward_shared_bytes(const ScanSizes& sizes) {
  Carver shared{nullptr};
  Group<int>::carve(sizes, shared);
  BackwardShared<W, T> all(sizes, shared);
  return shared.used;
}

template <typename Block, typename W, typename T>
class Backward {
 public:
  MM_DEVICE Backward(Block& block_, const BackwardArguments<W, T>& a_, Carver& shared)
      : block(block_), a(a_), s(a_.sizes), group(block_, s, a_.order, shared, a_.flags), memory(s, shared),
        trace(a_.traces[group.way]), gates(a_.gates[group.way]), chunk(s.chunk), width(s.past + s.steps) {
    if (!s.resident) memory.packed = a.packed + block.index() * BackwardShared<W, T>::packed_size(s);
  }

  MM_DEVICE void run() {
    begin();
    const int steps = group.count ? group.ends[0] : 0;
    // The first turn holds the last emotions alone, the one below 0 the scores of the first step with the history.
    for (int step = steps; step >= (s.past ? -1 : 0); --step) {
      if (s.listener && step >= 0 && step < steps) {
        listened(step);
        group.barrier();
      }
      turn(step);
      if (!s.listener || step < steps) group.barrier();
    }
    queries(steps);
  }

 private:
  // Columns of the own units of a matrix (rows, columns) as lines, their rows counted from `turned` on.
  MM_DEVICE const W* pack(W*& next, Weight which, Units own, int rows, int columns, int turned) {
    const W* from = a.weights[group.way * s.share() + which];
    W* to = next;
    block.each(own.count * rows, [&](int index) {
      const int unit = index % own.count, k = index / own.count;
      const W value = from[static_cast<int64_t>((k + turned) % rows) * columns + own.first + unit];
      put_packed(block, to, unit, k, rows, value);
    });
    next += packed_values<W>(own.count, rows);
    return to;
  }

  MM_DEVICE void begin() {
    W* next = memory.packed;
    const Units g = group.g, p = group.p, e = group.e;
    w_pc = pack(next, kPc, g, 3 * s.p, s.g, 0), w_gh = pack(next, kGh, g, 3 * s.g, s.g, 2 * s.g);
    w_gq = pack(next, kGq, p, 3 * s.g, s.p, 0), w_pq = pack(next, kPq, p, 3 * s.p, s.p, 2 * s.p);
    w_eq = pack(next, kEq, p, 3 * s.e, s.p, 0), w_eh = pack(next, kEh, e, 3 * s.e, s.e, 2 * s.e);
    if (s.listener) w_ls = pack(next, kLs, p, 3 * s.p, s.p, 0), w_lh = pack(next, kLh, p, 3 * s.p, s.p, 2 * s.p);
    group.clear_padding(a.d_inputs + group.way * s.input_width(), s.input_width(), s.directions * s.input_width());
    group.clear_padding(a.d_queries + group.cell(0) * s.g, s.g, s.g);
    group.clear_padding(gates.g, 4 * s.g, 4 * s.g), group.clear_padding(gates.p, 4 * s.p, 4 * s.p);
    group.clear_padding(gates.e, 4 * s.e, 4 * s.e);
    if (s.listener) {
      group.clear_padding(gates.l, 4 * s.parties * s.p, 4 * s.parties * s.p);
      group.clear_padding(gates.heard, 3 * s.p, 3 * s.p);
    }
    block.each(group.count * s.parties * p.count, [&](int index) {
      const int i = index / p.count / s.parties, which = index / p.count % s.parties, at = p.first + index % p.count;
      const int64_t place = carry(i, which) + at;
      block.put(a.party_carry + place, block.get(a.d_party + place));
    });
  }

  MM_DEVICE int64_t dialogue(int i) const { return static_cast<int64_t>(group.way) * s.dialogues + group.who[i]; }
  MM_DEVICE int64_t carry(int i, int which) const { return (dialogue(i) * s.parties + which) * s.p; }
  MM_DEVICE int64_t cell(int i, int step) const { return group.cell(group.row(i, step)); }
  MM_DEVICE int speaker(int i, int step) const { return group.order.speaker[group.row(i, step)]; }
  MM_DEVICE T dropped(T value, int i, int step, int at) const {
    if (a.keep == nullptr) return value;
    return a.keep[cell(i, step) * s.keep_width() + at] ? value * static_cast<T>(a.scale) : T(0);
  }
  MM_DEVICE T* d_input(int i, int step) const {
    return a.d_inputs + (group.row(i, step) * s.directions + group.way) * s.input_width();
  }
  MM_DEVICE const T* state(int i, int j) const {
    const int known = group.known(i);
    if (j < known) return a.history + (static_cast<int64_t>(group.who[i]) * s.past + j) * s.g;
    return a.global + cell(i, j - known) * s.g;
  }
  MM_DEVICE const T* key(int i, int j) const {
    const int known = group.known(i);
    if (j < known) return trace.past_keys + (static_cast<int64_t>(group.who[i]) * s.past + j) * 3 * s.p;
    return trace.keys + group.row(i, j - known) * 3 * s.p;
  }
  // Place of state `j` in the rows of the attention and of the gradients of its scores.
  MM_DEVICE int64_t weight_at(int i, int step, int j) const {
    const int known = group.known(i);
    return cell(i, step) * width + (j < known ? j : s.past + group.position(i, j - known));
  }
  MM_DEVICE Gates<T> gates_of(const T* from, int64_t row, int size, int at) const {
    const T* line = from + row * 4 * size + at;
    return {block.get(line), block.get(line + size), block.get(line + 2 * size), block.get(line + 3 * size)};
  }
  MM_DEVICE void put_gates(T* to, int64_t row, int size, int at, const Gates<T>& values) const {
    T* line = to + row * 4 * size + at;
    block.put(line, values.h_n), block.put(line + size, values.r);
    block.put(line + 2 * size, values.z), block.put(line + 3 * size, values.n);
  }
  MM_DEVICE void put_input(T* line, int size, const Gates<T>& values) const {
    block.put(line, values.r), block.put(line + size, values.z), block.put(line + 2 * size, values.n);
  }

  // Everything of `step` but the emotions, which are those of step - 1, after what step + 1 passes back.
  MM_DEVICE void turn(int step) {
    const int running = group.running(step), later = group.running(step + 1);
    const int earlier = step < 1 ? 0 : group.running(step - 1), most = larger(larger(running, later), earlier);
    const Units g = group.g, p = group.p, e = group.e;
    older_scores(step + 1, step);
    if (step < 0) return;
    for (int first = 0; first < most; first += chunk) {
      const int now = clamp(running - first, 0, chunk), after = clamp(later - first, 0, chunk);
      const int before = clamp(earlier - first, 0, chunk);
      block.each(larger(now, after), [&](int slot) {
        const int i = first + slot;
        if (slot < after) {
          const int64_t row = group.row(i, step + 1);
          memory.x[0][slot] = gates.p + row * 4 * s.p, memory.x[1][slot] = memory.x[0][slot] + s.p;
          memory.x[2][slot] = gates.g + row * 4 * s.g, memory.x[3][slot] = memory.x[2][slot] + s.g;
        }
        if (slot >= now) return;
        const int64_t row = group.row(i, step);
        memory.x[4][slot] = gates.e + row * 4 * s.e, memory.x[5][slot] = memory.x[4][slot] + s.e;
        if (s.listener) memory.x[6][slot] = gates.heard + row * 3 * s.p;
      });
      const int carried = s.listener ? 0 : after;
      const Product<W, T> products[] = {
          {w_pc, g.count, 3 * s.p, after, memory.x[1], memory.pc}, {w_gh, g.count, 3 * s.g, after, memory.x[2], memory.gh},
          {w_pq, p.count, 3 * s.p, carried, memory.x[0], memory.pq},
          {w_gq, p.count, 3 * s.g, carried, memory.x[3], memory.gq}, {w_eq, p.count, 3 * s.e, now, memory.x[5], memory.eq},
          {w_eh, e.count, 3 * s.e, smaller(now, before), memory.x[4], memory.eh},
          {w_ls, p.count, 3 * s.p, s.listener ? now : 0, memory.x[6], memory.ls}};
      multiply(block, products, chunk, memory.parts);
      newest_score(step, first, smaller(now, after));
      gather(step, first, now);
      if (!s.listener) carry_back(step + 1, first, after);
      block.each(now * (g.count + p.count), [&](int index) {
        const int slot = index / (g.count + p.count), unit = index % (g.count + p.count);
        if (unit < g.count) global_unit(step, first + slot, slot, unit, slot < after);
        else party_unit(step, first + slot, slot, unit - g.count);
      });
      block.each(before * e.count, [&](int index) {
        const int slot = index / e.count;
        emotion_unit(step - 1, first + slot, slot, index % e.count, slot < now);
      });
    }
  }

  // Gradients of the scores of `step` with the first `older` new states and the history.
  MM_DEVICE void older_scores(int step, int older) {
    constexpr int kStates = 8;
    const int running = group.running(step), states = larger(0, older), across = groups_of(s.past + states, kStates);
    const int total = running * across, own = total > group.member ? groups_of(total - group.member, s.members) : 0;
    block.template tiles<kStates, T>(
        own,
        [&](int tile, int lane, T* sums) {
          const int item = tile * s.members + group.member, i = item / across, first = item % across * kStates;
          const int count = group.known(i) + states;
          if (first >= count) return;
          const int64_t row = group.row(i, step);
          const T *passed = gates.p + row * 4 * s.p + s.p, *mean = trace.mixed + row * 3 * s.p;
          const T* from[kStates];
          MM_UNROLL
          for (int j = 0; j < kStates; ++j) from[j] = key(i, smaller(first + j, count - 1));
          for (int k = lane; k < 3 * s.p; k += kLanes) {
            const T value = block.get(passed + k), center = block.get(mean + k);
            MM_UNROLL
            for (int j = 0; j < kStates; ++j) sums[j] += value * (block.get(from[j] + k) - center);
          }
        },
        [&](int tile, int which, T sum) {
          const int item = tile * s.members + group.member, i = item / across, j = item % across * kStates + which;
          if (j >= group.known(i) + states) return;
          const int64_t at = weight_at(i, step, j);
          block.put(a.d_scores + at, block.get(a.attention + at) * sum);
        });
  }

  // The gradient of the score of step + 1 with the state of `step`, which every block needs at once.
  MM_DEVICE void newest_score(int step, int first, int count) {
    block.template tiles<1, T>(
        count,
        [&](int slot, int lane, T* sums) {
          const int i = first + slot;
          const int64_t row = group.row(i, step + 1);
          const T *passed = memory.x[1][slot], *mean = trace.mixed + row * 3 * s.p;
          const T* from = trace.keys + group.row(i, step) * 3 * s.p;
          for (int k = lane; k < 3 * s.p; k += kLanes)
            sums[0] += block.get(passed + k) * (block.get(from + k) - block.get(mean + k));
        },
        [&](int slot, int, T sum) {
          const int i = first + slot;
          const int64_t at = weight_at(i, step + 1, group.known(i) + step);
          memory.newest[slot] = block.get(a.attention + at) * sum;
          if (group.mine(i)) block.put(a.d_scores + at, memory.newest[slot]);
        });
  }

  // What the steps from step + 2 on have made of the state of `step`, as value and as key.
  MM_DEVICE void gather(int step, int first, int now) {
    const Units g = group.g;
    const int across = groups_of(g.count, kSums<T>);
    block.template tiles<kSums<T>, T>(
        now * across,
        [&](int tile, int lane, T* sums) {
          const int i = first + tile / across, unit = tile % across * kSums<T>;
          for (int reader = step + 2 + lane; reader < group.ends[i]; reader += kLanes) {
            const int64_t at = weight_at(i, reader, group.known(i) + step), row = cell(i, reader) * s.g + g.first + unit;
            const T weight = block.get(a.attention + at), d_score = block.get(a.d_scores + at);
            const T *d_context = a.d_contexts + row, *query = a.queries + row;
            MM_UNROLL
            for (int k = 0; k < kSums<T>; ++k)
              if (unit + k < g.count) sums[k] += weight * block.get(d_context + k) + d_score * block.get(query + k);
          }
        },
        [&](int tile, int which, T sum) {
          const int unit = tile % across * kSums<T> + which;
          if (unit < g.count) memory.gathered[unit * chunk + tile / across] = sum;
        });
  }

  // What the speaker of `step` passes to the state it had before.
  MM_DEVICE void carry_back(int step, int first, int count) {
    const Units p = group.p;
    block.each(count * p.count, [&](int index) {
      const int slot = index / p.count, i = first + slot, unit = index % p.count, at = p.first + unit;
      T* to = a.party_carry + carry(i, speaker(i, step)) + at;
      block.put(to, block.get(to) + memory.pq[unit * chunk + slot] + memory.gq[unit * chunk + slot]);
    });
  }

  MM_DEVICE void global_unit(int step, int i, int slot, int unit, bool followed) {
    const int at = group.g.first + unit, place = unit * chunk + slot;
    const int64_t row = group.row(i, step);
    T d = block.get(a.d_global + group.cell(row) * s.g + at) + memory.gathered[place];
    T* direct = a.direct + dialogue(i) * s.g + at;
    if (followed) {
      const int64_t next = cell(i, step + 1) * s.g + at;
      const T weight = block.get(a.attention + weight_at(i, step + 1, group.known(i) + step));
      d += weight * memory.pc[place] + memory.newest[slot] * block.get(a.queries + next) + block.get(direct) + memory.gh[place];
      block.put(a.d_contexts + next, memory.pc[place]);
    }
    T passed;
    const Gates<T> d_gates = gru_backward(
        gates_of(trace.gates_g, row, s.g, at), block.get(trace.g_before + row * s.g + at), dropped(d, i, step, at), passed);
    block.put(direct, passed);
    put_gates(gates.g, row, s.g, at, d_gates);
    put_input(d_input(i, step) + at, s.g, d_gates);
  }

  MM_DEVICE void party_unit(int step, int i, int slot, int unit) {
    const int at = group.p.first + unit;
    const int64_t row = group.row(i, step);
    T* to = a.party_carry + carry(i, speaker(i, step)) + at;
    T d = block.get(to) + memory.eq[unit * chunk + slot];
    if (s.listener) d += memory.ls[unit * chunk + slot];
    T passed;
    const Gates<T> d_gates = gru_backward(
        gates_of(trace.gates_p, row, s.p, at), block.get(trace.q_before + row * s.p + at),
        dropped(d, i, step, s.g + at), passed);
    block.put(to, passed);
    put_gates(gates.p, row, s.p, at, d_gates);
    put_input(d_input(i, step) + 3 * s.g + at, s.p, d_gates);
  }

  MM_DEVICE void emotion_unit(int step, int i, int slot, int unit, bool followed) {
    const int at = group.e.first + unit;
    const int64_t row = group.row(i, step);
    T* to = a.emotion_carry + dialogue(i) * s.e + at;
    T d = block.get(a.d_emotion + (row * s.directions + group.way) * s.e + at);
    if (followed) d += block.get(to) + memory.eh[unit * chunk + slot];
    T passed;
    const Gates<T> d_gates = gru_backward(
        gates_of(trace.gates_e, row, s.e, at), block.get(trace.e_before + row * s.e + at),
        dropped(d, i, step, s.g + s.p + at), passed);
    block.put(to, passed);
    put_gates(gates.e, row, s.e, at, d_gates);
  }

  // The parties that listen to `step`, after what all parties pass back from step + 1.
  MM_DEVICE void listened(int step) {
    const int running = group.running(step), later = group.running(step + 1), others = s.parties - 1;
    const Units p = group.p;
    for (int first = 0; first < later; first += chunk) {
      const int now = smaller(chunk, later - first);
      block.each(now, [&](int slot) {
        const int64_t row = group.row(first + slot, step + 1);
        memory.x[0][slot] = gates.p + row * 4 * s.p, memory.x[3][slot] = gates.g + row * 4 * s.g + s.g;
      });
      const Product<W, T> products[] = {
          {w_pq, p.count, 3 * s.p, now, memory.x[0], memory.pq}, {w_gq, p.count, 3 * s.g, now, memory.x[3], memory.gq}};
      multiply(block, products, chunk, memory.parts);
      carry_back(step + 1, first, now);
    }
    for (int first = 0; first < later * others; first += chunk) {
      const int now = smaller(chunk, later * others - first);
      const auto who = [&](int slot) {
        const int which = (first + slot) % others;
        return which + (which >= speaker((first + slot) / others, step + 1));
      };
      block.each(now, [&](int slot) {
        const int64_t row = group.row((first + slot) / others, step + 1);
        memory.x[0][slot] = gates.l + (row * s.parties + who(slot)) * 4 * s.p;
      });
      const Product<W, T> products[] = {{w_lh, p.count, 3 * s.p, now, memory.x[0], memory.pq}};
      multiply(block, products, chunk, memory.parts);
      block.each(now * p.count, [&](int index) {
        const int slot = index / p.count, unit = index % p.count;
        T* to = a.party_carry + carry((first + slot) / others, who(slot)) + p.first + unit;
        block.put(to, block.get(to) + memory.pq[unit * chunk + slot]);
      });
    }
    block.each(running * p.count, [&](int index) {
      const int i = index / p.count, at = p.first + index % p.count, spoken = speaker(i, step);
      const int64_t row = group.row(i, step);
      Gates<T> heard{0, 0, 0, 0};
      for (int which = 0; which < s.parties; ++which) {
        const int64_t line = row * s.parties + which;
        Gates<T> d_gates{0, 0, 0, 0};
        if (which != spoken) {
          T* to = a.party_carry + carry(i, which) + at;
          T passed;
          d_gates = gru_backward(
              gates_of(trace.gates_l, line, s.p, at), block.get(trace.party_before + line * s.p + at),
              dropped(block.get(to), i, step, s.g + s.p + s.e + which * s.p + at), passed);
          block.put(to, passed);
        }
        put_gates(gates.l, line, s.p, at, d_gates);
        heard.r += d_gates.r, heard.z += d_gates.z, heard.n += d_gates.n;
      }
      put_input(gates.heard + row * 3 * s.p + at, s.p, heard);
      put_input(d_input(i, step) + 3 * s.g + 3 * s.p + at, s.p, heard);
    });
  }

  // Gradients of the queries, when those of all scores are known.
  MM_DEVICE void queries(int steps) {
    const int pieces = groups_of(s.g, kSums<T>), total = group.count * steps * pieces;
    const int own = total > group.member ? groups_of(total - group.member, s.members) : 0;
    block.template tiles<kSums<T>, T>(
        own,
        [&](int tile, int lane, T* sums) {
          const int item = tile * s.members + group.member, i = item / pieces / steps, step = item / pieces % steps;
          const int unit = item % pieces * kSums<T>;
          if (step >= group.ends[i]) return;
          for (int j = lane; j < group.known(i) + step; j += kLanes) {
            const T d_score = block.get(a.d_scores + weight_at(i, step, j));
            const T* from = state(i, j) + unit;
            MM_UNROLL
            for (int k = 0; k < kSums<T>; ++k)
              if (unit + k < s.g) sums[k] += d_score * block.get(from + k);
          }
        },
        [&](int tile, int which, T sum) {
          const int item = tile * s.members + group.member, i = item / pieces / steps, step = item / pieces % steps;
          const int unit = item % pieces * kSums<T> + which;
          if (step < group.ends[i] && unit < s.g) block.put(a.d_queries + cell(i, step) * s.g + unit, sum);
        });
  }

  Block& block;
  const BackwardArguments<W, T>& a;
  const ScanSizes& s;
  Group<Block> group;
  BackwardShared<W, T> memory;
  const ScanTrace<const T>& trace;
  const ScanGates<T>& gates;
  const int chunk, width;
  const W *w_pc, *w_gh, *w_gq, *w_pq, *w_eq, *w_eh, *w_ls = nullptr, *w_lh = nullptr;
};

}  // namespace mm_emotion::device
