// Threads that share the phases of one walk, a few microseconds each: too short for a parallel region of their own.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace mm_emotion {

// Whoever joins first leads: it alone runs the program, and hands out the items of each phase. Those who join later help
// until it is done. The leader never waits for a thread that has not come, so that a pool may grant fewer threads than
// it was asked for, or run them one after the other.
class Team {
 public:
  explicit Team(int64_t size) : queues_(size) {}
  int64_t size() const { return queues_.size(); }

  template <typename Lead>
  void join(const Lead& lead) {
    const int64_t member = joined_.fetch_add(1);
    if (member > 0) return help(member);
    const Finish finish{finished_};
    lead();
  }

  // For the leader: work(item, member) for every item < count, after prepare(member) in every thread that gets one.
  // Each member has its own stretch of the items, the same in every phase, and takes from the others when it is done.
  template <typename Prepare, typename Work>
  void each(int64_t count, const Prepare& prepare, const Work& work) {
    if (count == 0) return;
    if (size() == 1 || count == 1 || count > kItem) {
      prepare(0);
      for (int64_t item = 0; item < count; ++item) work(item, 0);
      return;
    }
    struct Both {
      const Prepare& prepare;
      const Work& work;
    } both{prepare, work};
    remaining_.store(count, std::memory_order_relaxed);
    phase_.store(&both, std::memory_order_relaxed);
    call_.store(
        [](const void* phase, int64_t item, int64_t member) {
          const Both& run = *static_cast<const Both*>(phase);
          if (item < 0) run.prepare(member);
          else run.work(item, member);
        },
        std::memory_order_relaxed);
    ++number_;
    for (int64_t member = 0; member < size(); ++member)
      queues_[member].next.store(
          number_ << 2 * kBits | begin(member + 1, count) << kBits | begin(member, count), std::memory_order_release);
    published_.store(number_, std::memory_order_release);
    take(0);
    for (int64_t turns = 0; remaining_.load(std::memory_order_acquire) > 0;) wait(turns);
  }
  template <typename Work>
  void each(int64_t count, const Work& work) {
    each(count, [](int64_t) {}, work);
  }

 private:
  using Call = void (*)(const void* phase, int64_t item, int64_t member);
  struct Finish {
    std::atomic<bool>& finished;
    ~Finish() { finished.store(true, std::memory_order_release); }
  };
  struct alignas(64) Queue {
    std::atomic<uint64_t> next{0};  // number of the phase, where the stretch ends, and its next item: 24, 20, 20 bits
  };

  static constexpr int kBits = 20;
  static constexpr int64_t kItem = (1 << kBits) - 1;

  uint64_t begin(int64_t member, int64_t count) const { return count * member / size(); }

  void help(int64_t member) {
    uint64_t seen = 0;
    for (int64_t turns = 0; !finished_.load(std::memory_order_acquire);) {
      const uint64_t now = published_.load(std::memory_order_acquire);
      if (now == seen) {
        wait(turns);
        continue;
      }
      seen = now, turns = 0;
      take(member);
    }
  }

  // An item is taken by moving a queue on from the very value that was read, which says by itself whether there is an
  // item left. As long as there is, its phase is not over, so that what was read of the phase belongs to it.
  void take(int64_t member) {
    int64_t done = 0;
    for (int64_t turn = 0; turn < size(); ++turn) {
      const int64_t owner = (member + turn) % size();
      std::atomic<uint64_t>& next = queues_[owner].next;
      uint64_t value = next.load(std::memory_order_acquire);
      while (true) {
        const int64_t item = value & kItem;
        if (item >= static_cast<int64_t>(value >> kBits & kItem)) break;
        const Call call = call_.load(std::memory_order_relaxed);
        const void* phase = phase_.load(std::memory_order_relaxed);
        if (!next.compare_exchange_weak(value, value + 1, std::memory_order_acq_rel, std::memory_order_acquire)) continue;
        if (done++ == 0) call(phase, -1, member);
        call(phase, item, member);
        ++value;
      }
    }
    if (done > 0) remaining_.fetch_sub(done, std::memory_order_acq_rel);
  }

  // Another program may hold the processor of the one that is waited for.
  static void wait(int64_t& turns) {
    if (++turns > 500) return std::this_thread::yield();
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  std::vector<Queue> queues_;
  std::atomic<int64_t> joined_{0}, remaining_{0};
  std::atomic<uint64_t> published_{0};
  std::atomic<const void*> phase_{nullptr};
  std::atomic<Call> call_{nullptr};
  std::atomic<bool> finished_{false};
  uint64_t number_ = 0;
};

}  // namespace mm_emotion
