// Blocks of a card on one thread of a CPU, for the programs of csrc/device: what a card could do wrong is not left to
// chance but looked for.
//   - Blocks are fibers that yield at random and at every wait; a schedule is a seed. If all wait, the report says for
//     what.
//   - Every cell of global memory knows who wrote and read it when. A read that no flag orders behind the write, or a
//     write that none orders behind an earlier access, is a race in whatever schedule it would show; so is reading
//     what nothing wrote, and touching what belongs to no buffer.
//   - Shared memory begins as NaN and ends in a guard; lanes, warps and threads run in random order.
// What it cannot show: faults of memory ordering below the flags, and threads of a block that miss a barrier in between,
// since every loop ends in one.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "../../csrc/device/fold.h"
#include "../../csrc/device/matrix.h"
#include "../../csrc/device/softmax.h"

namespace emulation {

using mm_emotion::device::kLanes;

struct Memory {
  const char* name;
  char* data;
  int64_t bytes;
  int32_t cell;      // bytes of an element
  int32_t writable;  // 0 holds a value in every cell and must not be written
};

struct Options {
  int32_t seed, switches;         // of the schedule; a loop out of so many ends with another block's turn
  int32_t skip_block, skip_epoch;  // this block does not wait for that epoch; -1 for none
  int32_t mute_block, mute_epoch;  // this block does not announce that epoch; -1 for none
};

class Fault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

[[noreturn]] inline void fail(const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  throw Fault(text);
}

using Clock = std::vector<uint32_t>;

class Machine {
 public:
  Machine(int blocks, std::vector<Memory> memories, const Options& options_)
      : options(options_), random(options_.seed), clocks(blocks, Clock(blocks, 0)), count(blocks) {
    for (int block = 0; block < blocks; ++block) clocks[block][block] = 1;
    for (const Memory& memory : memories)
      if (memory.data) shadows.push_back({memory, {}});
    for (Shadow& shadow : shadows)
      if (shadow.memory.writable) shadow.cells.resize(shadow.memory.bytes / shadow.memory.cell, Cell(blocks));
  }

  // Runs `program(block)` for every block; all of them are resident together.
  void run(const std::function<void(int)>& program) {
    fibers.resize(count);
    for (int block = 0; block < count; ++block) {
      Fiber& fiber = fibers[block];
      fiber.stack.resize(1 << 18);
      fiber.body = [this, block, &program] {
        try {
          program(block);
        } catch (const Fault& fault) {
          error = fault.what();
        }
        fibers[block].done = true;
      };
      getcontext(&fiber.context);
      fiber.context.uc_stack.ss_sp = fiber.stack.data();
      fiber.context.uc_stack.ss_size = fiber.stack.size();
      fiber.context.uc_link = &home;
      const auto address = reinterpret_cast<uintptr_t>(&fiber.body);
      makecontext(
          &fiber.context, reinterpret_cast<void (*)()>(&Machine::enter), 2, static_cast<unsigned>(address >> 32),
          static_cast<unsigned>(address));
    }
    for (;;) {
      std::vector<int> ready;
      bool all_done = true;
      for (int block = 0; block < count; ++block) {
        Fiber& fiber = fibers[block];
        all_done = all_done && fiber.done;
        if (!fiber.done && (fiber.flag == nullptr || *fiber.flag >= fiber.epoch)) ready.push_back(block);
      }
      if (!error.empty()) throw Fault(error);
      if (all_done) return;
      if (ready.empty()) report_deadlock();
      current = ready[random() % ready.size()];
      swapcontext(&home, &fibers[current].context);
    }
  }

  void yield() { swapcontext(&fibers[current].context, &home); }
  void maybe_yield() {
    if (options.switches && random() % options.switches == 0) yield();
  }
  template <typename Body>
  void shuffled(int items, const Body& body) {
    std::vector<int> order(std::max(items, 0));
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    for (int item : order) body(item);
    maybe_yield();
  }

  void arrive(int block, uint32_t* flag, uint32_t epoch) {
    if (block == options.mute_block && static_cast<int>(epoch) == options.mute_epoch) return;
    published[{flag, epoch}] = clocks[block];
    ++clocks[block][block];
    *flag = epoch;
    maybe_yield();
  }
  void wait(int block, uint32_t* flags, int n, uint32_t epoch) {
    if (block == options.skip_block && static_cast<int>(epoch) == options.skip_epoch) return;
    shuffled(n, [&](int i) {
      Fiber& fiber = fibers[block];
      fiber.flag = flags + i, fiber.epoch = epoch;
      if (flags[i] < epoch) yield();
      fiber.flag = nullptr;
      // What was published with this epoch, though the flag may be further on: a card may show the older value.
      const Clock& seen = published.at({flags + i, epoch});
      for (int other = 0; other < count; ++other) clocks[block][other] = std::max(clocks[block][other], seen[other]);
    });
  }

  void on_get(int block, const void* address) {
    const auto [shadow, index] = find(address, "reads");
    if (shadow->cells.empty()) return;
    Cell& cell = shadow->cells[index];
    if (cell.writer < 0) fail("%s[%lld]: block %d reads what nothing wrote", shadow->memory.name, index, block);
    if (cell.written > clocks[block][cell.writer])
      fail("%s[%lld]: block %d reads what block %d wrote, unordered", shadow->memory.name, index, block, cell.writer);
    cell.read[block] = clocks[block][block];
  }
  void on_put(int block, const void* address) {
    const auto [shadow, index] = find(address, "writes");
    if (shadow->cells.empty()) fail("%s[%lld]: block %d writes to an input", shadow->memory.name, index, block);
    Cell& cell = shadow->cells[index];
    if (cell.writer >= 0 && cell.written > clocks[block][cell.writer])
      fail("%s[%lld]: block %d writes over block %d, unordered", shadow->memory.name, index, block, cell.writer);
    for (int other = 0; other < count; ++other)
      if (other != block && cell.read[other] > clocks[block][other])
        fail("%s[%lld]: block %d writes over what block %d reads, unordered", shadow->memory.name, index, block, other);
    cell.writer = block, cell.written = clocks[block][block];
  }

  const Options options;

 private:
  struct Fiber {
    ucontext_t context;
    std::vector<char> stack;
    std::function<void()> body;
    uint32_t *flag = nullptr, epoch = 0;
    bool done = false;
  };
  struct Cell {
    explicit Cell(int blocks) : read(blocks, 0) {}
    int writer = -1;
    uint32_t written = 0;
    Clock read;
  };
  struct Shadow {
    Memory memory;
    std::vector<Cell> cells;
  };
  static void enter(unsigned high, unsigned low) {
    (*reinterpret_cast<std::function<void()>*>((static_cast<uintptr_t>(high) << 32) | low))();
  }
  std::pair<Shadow*, long long> find(const void* address, const char* what) {
    const char* at = static_cast<const char*>(address);
    for (Shadow& shadow : shadows)
      if (at >= shadow.memory.data && at < shadow.memory.data + shadow.memory.bytes)
        return {&shadow, (at - shadow.memory.data) / shadow.memory.cell};
    fail("block %d %s outside of all buffers", current, what);
  }
  void report_deadlock() {
    std::string text = "deadlock:";
    for (int block = 0; block < count; ++block) {
      const Fiber& fiber = fibers[block];
      char line[128];
      if (fiber.done) snprintf(line, sizeof(line), " block %d is done;", block);
      else snprintf(line, sizeof(line), " block %d waits for %u where %u stands;", block, fiber.epoch, *fiber.flag);
      text += line;
    }
    throw Fault(text);
  }

  std::mt19937 random;
  std::vector<Clock> clocks;
  std::vector<Shadow> shadows;
  std::vector<Fiber> fibers;
  std::map<std::pair<uint32_t*, uint32_t>, Clock> published;
  std::string error;
  ucontext_t home;
  int count, current = 0;
};

// One block, as the programs see it.
class Block {
 public:
  Block(Machine& machine_, int index) : machine(machine_), own(index) {}
  int index() const { return own; }

  template <typename Body>
  void each(int count, const Body& body) {
    machine.shuffled(count, body);
  }
  template <typename Body>
  void warps(int count, const Body& body) {
    machine.shuffled(count, [&](int item) {
      for (int lane = 0; lane < kLanes; ++lane) body(item, lane);
    });
  }
  template <int kCount, typename T, typename Body, typename Finish>
  void tiles(int count, const Body& body, const Finish& finish) {
    machine.shuffled(count, [&](int tile) {
      T sums[kLanes][kCount] = {};
      for (int lane = 0; lane < kLanes; ++lane) body(tile, lane, sums[lane]);
      fold<kCount / 2, kLanes / 2>(sums);
      for (int lane = 0; lane < kLanes; ++lane)
        if (mm_emotion::device::fold_first<kCount>(lane))
          finish(tile, mm_emotion::device::fold_place<kCount>(lane), sums[lane][0]);
    });
  }
  template <typename T, typename Body, typename Finish>
  void peaks(int count, const Body& body, const Finish& finish) {
    machine.shuffled(count, [&](int item) {
      mm_emotion::device::Peak<T> peak;
      for (int lane = 0; lane < kLanes; ++lane) peak = combine(peak, body(item, lane));
      finish(item, peak);
    });
  }
  // What lanes hold is unpacked by the tables of the instruction, not by the functions that packed it.
  template <typename TileOf>
  void matrices(int count, const TileOf& tile_of) {
    namespace device = mm_emotion::device;
    machine.shuffled(count, [&](int item) {
      const device::MatrixTile tile = tile_of(item);
      for (int first = 0; first < tile.count; first += 16)
        for (int piece = 0; piece < tile.pieces; ++piece) {
          float sums[16][8] = {}, left[16][16], right[16][8];
          const auto* weights = tile.weights + int64_t(piece) * device::padded_width(tile.width) * 8;
          for (int step = tile.begin; step < tile.end; ++step) {
            for (int lane = 0; lane < kLanes; ++lane) {
              const int group = lane >> 2, within = lane & 3, k = device::left_place(step, lane);
              const float* x[2];
              for (int i = 0; i < 2; ++i) x[i] = tile.x[std::min(first + i * 8 + lane / 4, tile.count - 1)];
              const uint32_t pairs[4] = {
                  left_pair(*this, tile, x[0], k), left_pair(*this, tile, x[1], k), left_pair(*this, tile, x[0], k + 8),
                  left_pair(*this, tile, x[1], k + 8)};
              for (int i = 0; i < 8; ++i) {
                const auto bits = static_cast<uint16_t>(pairs[i / 2] >> (i % 2 * 16));
                const int row = i < 2 || (i >= 4 && i < 6) ? group : group + 8;
                left[row][within * 2 + (i & 1) + (i >= 4 ? 8 : 0)] = device::Bfloat16{bits};
              }
              for (int i = 0; i < 4; ++i)
                right[within * 2 + (i & 1) + (i >= 2 ? 8 : 0)][group] = weights[step * 128 + lane * 4 + i];
            }
            for (int row = 0; row < 16; ++row)
              for (int k = 0; k < 16; ++k)
                for (int to = 0; to < 8; ++to) sums[row][to] += left[row][k] * right[k][to];
          }
          for (int lane = 0; lane < kLanes; ++lane)
            for (int i = 0; i < 4; ++i) {
              const float sum = sums[(lane >> 2) + (i < 2 ? 0 : 8)][(lane & 3) * 2 + (i & 1)];
              tile.put(piece * 8 + device::sum_row(lane, i), first + device::sum_vector(lane, i), sum);
            }
        }
    });
  }
  uint32_t pair(float low, float high) const {
    return mm_emotion::device::round_bfloat16(low) | uint32_t(mm_emotion::device::round_bfloat16(high)) << 16;
  }
  template <typename T>
  T get(const T* from) const {
    machine.on_get(own, from);
    return *from;
  }
  void get_two(const float* from, float& low, float& high) const { low = get(from), high = get(from + 1); }
  template <typename T>
  void put(T* to, T value) const {
    machine.on_put(own, to);
    *to = value;
  }
  template <typename W>
  W weight(const W* from) const {
    return *from;
  }
  template <typename W>
  void put_weight(W* to, W value) const {
    *to = value;
  }
  void arrive(uint32_t* flag, uint32_t epoch) { machine.arrive(own, flag, epoch); }
  void wait(uint32_t* flags, int count, uint32_t epoch) { machine.wait(own, flags, count, epoch); }

 private:
  // The exchanges of a warp, all lanes of a step at once.
  template <int kHalf, int kBit, int kCount, typename T>
  static void fold(T (&sums)[kLanes][kCount]) {
    if constexpr (kBit > 0) {
      constexpr int kSent = kHalf > 0 ? kHalf : 1;
      T sent[kLanes][kSent];
      for (int lane = 0; lane < kLanes; ++lane) {
        if constexpr (kHalf > 0) mm_emotion::device::fold_send<kHalf>(sums[lane], (lane & kBit) != 0, sent[lane]);
        else sent[lane][0] = sums[lane][0];
      }
      for (int lane = 0; lane < kLanes; ++lane) {
        if constexpr (kHalf > 0)
          mm_emotion::device::fold_keep<kHalf>(sums[lane], (lane & kBit) != 0, sent[lane ^ kBit]);
        else sums[lane][0] += sent[lane ^ kBit][0];
      }
      fold<kHalf / 2, kBit / 2>(sums);
    }
  }

  Machine& machine;
  const int own;
};

}  // namespace emulation
