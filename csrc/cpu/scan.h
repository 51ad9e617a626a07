// What the forward and the backward pass of the DialogueRNN scan share: sizes, checked arguments, the order of walking,
// and what is kept between the two. The equations stand in mm_emotion/ops/dialogue_rnn_scan.py.
#pragma once

#include <algorithm>
#include <cstring>
#include <deque>
#include <numeric>
#include <optional>
#include <vector>

#include "../checks.h"
#include "kernels.h"
#include "memory.h"
#include "team.h"

namespace mm_emotion {

enum Weight { kGq, kGh, kBgh, kPc, kPq, kBph, kEq, kBei, kEh, kBeh, kLs, kLh, kBlh };

struct ScanArguments {
  const Tensor &queries, &speakers, &lengths;
  const std::vector<Tensor>& weights;
  const std::optional<Tensor>& keep_mask;
  double keep_scale;
  int64_t parties;
  const std::optional<Tensor>&history, &history_lengths;
};

// A matrix or a bias, read where it lies as long as its rows lie in one piece each.
template <typename T>
struct Lines {
  explicit Lines(const Tensor& tensor)
      : held(tensor.stride(tensor.dim() - 1) == 1 ? tensor : torch::stable::contiguous(tensor)),
        data(static_cast<const T*>(held.data_ptr())), stride(held.stride(0)) {}
  Tensor held;
  const T* data;
  int64_t stride;  // from one row to the next
};

template <typename T>
struct Scan {
  explicit Scan(const ScanArguments& given, ScalarType type, const char* name);

  const T* weight(int64_t way, Weight which) const { return weights[way * share + which].data; }
  int64_t stride(int64_t way, Weight which) const { return weights[way * share + which].stride; }
  int64_t position(int64_t way, int64_t dialogue, int64_t step) const {
    return way == 1 ? lengths.data[dialogue] - 1 - step : step;
  }
  int64_t speaker(int64_t dialogue, int64_t at) const { return speakers.data[dialogue * steps + at]; }
  int64_t known(int64_t dialogue) const { return past ? history_lengths.data[dialogue] : 0; }
  int64_t cell(int64_t way, int64_t dialogue, int64_t at) const { return (way * dialogues + dialogue) * steps + at; }
  const bool* kept(int64_t cell_) const { return keep ? keep.data + cell_ * keep_width : nullptr; }
  // Steps whose emotion states are computed together, from one product for all their rows.
  int64_t block() const { return std::clamp<int64_t>(512 / std::max<int64_t>(dialogues, 1), 8, 64); }
  int64_t input_width() const { return 3 * g + (listener ? 6 : 3) * p; }
  int64_t largest() const { return std::max({g, p, e}); }

  int64_t directions, dialogues, steps, parties, share, g, p, e, past, keep_width, rows;
  bool listener;
  T scale;
  Rows<T> queries, history;
  Rows<int64_t> speakers, lengths, history_lengths;
  Rows<bool> keep;
  std::vector<Lines<T>> weights;
  std::vector<int64_t> order;    // dialogues, longest first
  std::vector<int64_t> offsets;  // packed row of the first dialogue at each step
};

template <typename T>
Scan<T>::Scan(const ScanArguments& given, ScalarType type, const char* name)
    : parties(given.parties), scale(static_cast<T>(given.keep_scale)) {
  check_type("queries", given.queries, type, name);
  if (given.queries.dim() != 4) refuse("queries", "shape (R, B, U, G)");
  directions = given.queries.size(0), dialogues = given.queries.size(1), steps = given.queries.size(2);
  const int64_t matrices = given.weights.size();
  if (directions < 1 || directions > 2 || (matrices != 10 * directions && matrices != 13 * directions))
    refuse("weights", "10 or 13 tensors for each of 1 or 2 directions");
  share = matrices / directions;
  listener = share == 13;
  g = given.weights[kGh].dim() == 2 ? given.weights[kGh].size(1) : 0;
  p = given.weights[kPq].dim() == 2 ? given.weights[kPq].size(1) : 0;
  e = given.weights[kEh].dim() == 2 ? given.weights[kEh].size(1) : 0;
  if (g < 1 || p < 1 || e < 1) refuse("weights", "matrices with at least one column");
  if (parties < 1) refuse("num_parties", "at least 1");
  check_shape("queries", given.queries, {directions, dialogues, steps, g});
  for (int64_t way = 0; way < directions; ++way) {
    const Tensor* own = given.weights.data() + way * share;
    for (int64_t index = 0; index < share; ++index) check_type("weights", own[index], type, name);
    check_shape("weights", own[kGq], {3 * g, p}), check_shape("weights", own[kGh], {3 * g, g});
    check_shape("weights", own[kPc], {3 * p, g}), check_shape("weights", own[kPq], {3 * p, p});
    check_shape("weights", own[kEq], {3 * e, p}), check_shape("weights", own[kEh], {3 * e, e});
    check_shape("weights", own[kBgh], {3 * g}), check_shape("weights", own[kBph], {3 * p});
    check_shape("weights", own[kBei], {3 * e}), check_shape("weights", own[kBeh], {3 * e});
    if (!listener) continue;
    check_shape("weights", own[kLs], {3 * p, p}), check_shape("weights", own[kLh], {3 * p, p});
    check_shape("weights", own[kBlh], {3 * p});
  }
  for (const Tensor& tensor : given.weights) weights.emplace_back(tensor);
  check_type("speakers", given.speakers, ScalarType::Long, "int64");
  check_shape("speakers", given.speakers, {dialogues, steps});
  check_type("lengths", given.lengths, ScalarType::Long, "int64");
  check_shape("lengths", given.lengths, {dialogues});
  keep_width = g + p + e + (listener ? parties * p : 0);
  if (given.keep_mask) {
    check_type("keep_mask", *given.keep_mask, ScalarType::Bool, "bool");
    check_shape("keep_mask", *given.keep_mask, {directions, dialogues, steps, keep_width});
    keep = Rows<bool>(*given.keep_mask);
  }
  past = 0;
  if (given.history) {
    check_type("history", *given.history, type, name);
    past = given.history->dim() == 3 ? given.history->size(1) : 0;
    check_shape("history", *given.history, {dialogues, past, g});
    if (directions != 1 || !given.history_lengths) refuse("history", "one direction and history_lengths");
    check_type("history_lengths", *given.history_lengths, ScalarType::Long, "int64");
    check_shape("history_lengths", *given.history_lengths, {dialogues});
    history = Rows<T>(*given.history), history_lengths = Rows<int64_t>(*given.history_lengths);
  }
  queries = Rows<T>(given.queries), speakers = Rows<int64_t>(given.speakers), lengths = Rows<int64_t>(given.lengths);

  order.resize(dialogues);
  std::iota(order.begin(), order.end(), 0);
  for (int64_t dialogue = 0; dialogue < dialogues; ++dialogue) {
    if (lengths.data[dialogue] < 0 || lengths.data[dialogue] > steps) refuse("lengths", "values from 0 to ", steps);
    for (int64_t at = 0; at < lengths.data[dialogue]; ++at)
      if (speaker(dialogue, at) < 0 || speaker(dialogue, at) >= parties)
        refuse("speakers", "values from 0 to ", parties - 1);
    if (known(dialogue) < 0 || known(dialogue) > past) refuse("history_lengths", "values from 0 to ", past);
  }
  const int64_t* length = lengths.data;
  std::stable_sort(order.begin(), order.end(), [length](int64_t a, int64_t b) { return length[a] > length[b]; });
  rows = 0;
  for (int64_t step = 0, running = dialogues; step < steps; ++step) {
    while (running > 0 && length[order[running - 1]] <= step) --running;
    offsets.push_back(rows);
    rows += running;
  }
}

constexpr int64_t kBatch = 30;  // rows of a product over many steps

// Dialogues that are walked side by side in one direction; nothing is shared with others, which never wait.
template <typename T>
struct Share {
  Share(const Scan<T>& scan, int64_t way_, int64_t slice, int64_t slices) : way(way_) {
    for (int64_t rank = slice; rank < scan.dialogues; rank += slices) ranks.push_back(rank);
  }
  int64_t running(const Scan<T>& scan, int64_t step) const {
    int64_t count = ranks.size();
    while (count > 0 && scan.lengths.data[scan.order[ranks[count - 1]]] <= step) --count;
    return count;
  }
  int64_t way;
  std::vector<int64_t> ranks;  // places in Scan::order
};

// Slices of the batch, in which threads never wait for each other, as long as reading all weights pays for the rows that
// each has at a step, on average. Threads that are left over join in teams, which read each weight once: but not if a
// core's own cache holds all.
template <typename T, typename Run>
void in_teams(const Scan<T>& scan, const Run& run) {
  const int64_t threads = std::max<int64_t>(1, torch::stable::get_num_threads() / scan.directions);
  const bool large = 3 * (scan.g + scan.p) * (scan.g + scan.p) * sizeof(T) > 2 << 20;
  const int64_t most = large ? scan.rows / std::max<int64_t>(1, scan.steps) / 15 : scan.dialogues / 6;
  const int64_t slices = std::clamp<int64_t>(most, 1, threads);
  const int64_t blocks = (std::min(scan.g, scan.p) + kernels<T>().columns - 1) / kernels<T>().columns;
  const int64_t members = large ? std::min(threads / slices, blocks) : 1;
  std::deque<Team> teams;
  for (int64_t team = 0; team < scan.directions * slices; ++team) teams.emplace_back(members);
  torch::stable::parallel_for(0, teams.size() * members, 1, [&](int64_t begin, int64_t end) {
    for (int64_t place = begin; place < end; ++place) {
      const int64_t index = place / members;
      Team& team = teams[index];
      team.join([&] { run(Share<T>(scan, index / slices, index % slices, slices), team); });
    }
  });
}

// Blocks of packed rows, one behind the other: the block of `width` values a row starts where the last one ended.
template <typename T>
struct Blocks {
  Blocks(T* data, int64_t rows_) : next(data), rows(rows_) {}
  T* take(int64_t width) {
    T* start = next;
    next += rows * width;
    return start;
  }
  T* next;
  int64_t rows;
};

// Forward values kept for the backward pass, in packed rows; without them, rows that each step writes anew.
template <typename T>
struct Trace {
  Trace(const Scan<T>& scan, T* data, int64_t rows) {
    Blocks<T> blocks(data, rows);
    gates_g = blocks.take(4 * scan.g), gates_p = blocks.take(4 * scan.p), gates_e = blocks.take(4 * scan.e);
    q_before = blocks.take(scan.p), q_after = blocks.take(scan.p), context = blocks.take(scan.g);
    g_before = blocks.take(scan.g), e_before = blocks.take(scan.e);
    if (!scan.listener) return;
    gates_l = blocks.take(4 * scan.parties * scan.p), party_before = blocks.take(scan.parties * scan.p);
  }
  static int64_t width(const Scan<T>& scan) {
    return 6 * scan.g + 6 * scan.p + 5 * scan.e + (scan.listener ? 5 * scan.parties * scan.p : 0);
  }
  T *gates_g, *gates_p, *gates_e, *q_before, *q_after, *context, *g_before, *e_before;
  T *gates_l = nullptr, *party_before = nullptr;
};

template <typename T>
inline void drop(int64_t size, T* values, const bool* kept, T scale) {
  for (int64_t i = 0; i < size; ++i) values[i] = kept[i] ? values[i] * scale : T(0);
}

}  // namespace mm_emotion
