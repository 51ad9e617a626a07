// Runs kernels on a CPU, one thread at a time: what they compute, where they read and write, and whether their barriers
// suffice can be tested without a device. A block's threads are fibers that change at barriers and shuffles alone, in a
// random order; blocks run in a random order too; shared memory starts as NaN and ends where the launch said.
// It cannot show what needs true concurrency, such as the order of memory accesses across blocks.
#pragma once

#define MM_EMOTION_EMULATED
#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)

#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <numeric>
#include <random>
#include <vector>

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

inline dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulator {

enum class State { running, at_barrier, at_shuffle, done };

struct Fiber {
  ucontext_t context;
  State state = State::running;
  alignas(8) unsigned char offered[8];
  alignas(8) unsigned char seen[8];
  int partner = 0;
  std::vector<char> stack = std::vector<char>(64 * 1024);
};

inline std::mt19937 chance;
inline std::vector<Fiber> fibers;
inline ucontext_t scheduler;
inline int current = 0;
inline std::function<void()> body;
inline char* shared = nullptr;

[[noreturn]] inline void fail(const char* what) {
  std::fprintf(stderr, "emulator: %s in block (%u, %u, %u)\n", what, blockIdx.x, blockIdx.y, blockIdx.z);
  std::abort();
}

inline void wait(State state) {
  const int self = current;
  fibers[self].state = state;
  swapcontext(&fibers[self].context, &scheduler);
}

inline void enter() {
  body();
  fibers[current].state = State::done;
}

// Lets warps go on whose living lanes all wait at the same shuffle.
inline bool exchange(int threads) {
  bool any = false;
  for (int first = 0; first < threads; first += 32) {
    const int end = std::min(first + 32, threads);
    int waiting = 0, alive = 0;
    for (int lane = first; lane < end; ++lane) {
      waiting += fibers[lane].state == State::at_shuffle;
      alive += fibers[lane].state != State::done;
    }
    if (waiting == 0) continue;
    if (waiting != alive) fail("a shuffle that not all lanes of a warp reach");
    for (int lane = first; lane < end; ++lane) {
      const int from = first + fibers[lane].partner;
      if (fibers[lane].state != State::at_shuffle) continue;
      if (fibers[from].state != State::at_shuffle) fail("a shuffle from a lane that has ended");
      std::memcpy(fibers[lane].seen, fibers[from].offered, 8);
    }
    for (int lane = first; lane < end; ++lane)
      if (fibers[lane].state == State::at_shuffle) fibers[lane].state = State::running;
    any = true;
  }
  return any;
}

inline void run_block(int threads) {
  if (static_cast<int>(fibers.size()) < threads) fibers.resize(threads);
  std::vector<int> order(threads);
  std::iota(order.begin(), order.end(), 0);
  for (int thread = 0; thread < threads; ++thread) {
    Fiber& fiber = fibers[thread];
    fiber.state = State::running;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.data();
    fiber.context.uc_stack.ss_size = fiber.stack.size();
    fiber.context.uc_link = &scheduler;
    makecontext(&fiber.context, enter, 0);
  }
  for (;;) {
    std::shuffle(order.begin(), order.end(), chance);
    for (int thread : order) {
      if (fibers[thread].state != State::running) continue;
      current = thread;
      threadIdx = dim3(thread, 0, 0);
      swapcontext(&scheduler, &fibers[thread].context);
    }
    if (exchange(threads)) continue;
    int at_barrier = 0, done = 0;
    for (int thread = 0; thread < threads; ++thread) {
      at_barrier += fibers[thread].state == State::at_barrier;
      done += fibers[thread].state == State::done;
    }
    if (done == threads) return;
    if (at_barrier + done != threads) fail("a deadlock");
    for (int thread = 0; thread < threads; ++thread)
      if (fibers[thread].state == State::at_barrier) fibers[thread].state = State::running;
  }
}

}  // namespace emulator

inline void __syncthreads() {
  emulator::wait(emulator::State::at_barrier);
  threadIdx = dim3(emulator::current, 0, 0);
}

template <typename V>
V __shfl_xor_sync(unsigned, V value, int mask) {
  static_assert(sizeof(V) <= 8);
  auto& fiber = emulator::fibers[emulator::current];
  std::memcpy(fiber.offered, &value, sizeof(V));
  fiber.partner = (emulator::current % 32) ^ mask;
  emulator::wait(emulator::State::at_shuffle);
  std::memcpy(&value, fiber.seen, sizeof(V));
  return value;
}

namespace mm_emotion {

using Stream = int;

inline char* shared_bytes() { return emulator::shared; }

template <typename... Parameters, typename... Arguments>
void launch(
    void (*kernel)(Parameters...), dim3 grid, int threads, size_t bytes, Stream, const Arguments&... arguments) {
  std::vector<unsigned> order(size_t(grid.x) * grid.y * grid.z);
  std::iota(order.begin(), order.end(), 0u);
  std::shuffle(order.begin(), order.end(), emulator::chance);
  gridDim = grid;
  blockDim = dim3(threads);
  // Shared memory ends where a page begins that must not be touched.
  const size_t page = sysconf(_SC_PAGESIZE), room = (bytes + page - 1) / page * page;
  char* mapped = static_cast<char*>(
      mmap(nullptr, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  mprotect(mapped + room, page, PROT_NONE);
  emulator::shared = mapped + (room - bytes) / 16 * 16;
  for (unsigned block : order) {
    blockIdx = dim3(block % grid.x, block / grid.x % grid.y, block / grid.x / grid.y);
    std::memset(mapped, 0xff, room);  // NaN in every type
    emulator::body = [&] { kernel(static_cast<Parameters>(arguments)...); };
    emulator::run_block(threads);
  }
  munmap(mapped, room + page);
}

}  // namespace mm_emotion
