// The scan on emulated blocks, called by tests/cuda/conftest.py. Arguments are the structures of csrc/device.
#include "scan_emulator.h"

#include "../../csrc/device/plan.h"
#include "../../csrc/device/scan_backward.h"
#include "../../csrc/device/scan_forward.h"

using namespace mm_emotion::device;
using emulation::Machine;
using emulation::Memory;
using emulation::Options;

namespace {

constexpr int64_t kGuard = 256;

// Runs Program(block, arguments, shared memory).run() on every block; returns false and a report after a fault.
template <template <typename, typename, typename> class Program, typename W, typename T, typename Arguments>
bool run(Arguments a, int64_t shared_bytes, const Memory* memories, int count, const Options& options,
         char* report, int size) {
  const int blocks = a.sizes.blocks();
  a.settle();
  try {
    Machine machine(blocks, std::vector<Memory>(memories, memories + count), options);
    machine.run([&](int index) {
      std::vector<char> bytes(shared_bytes + kGuard + 16, static_cast<char>(0xFF));
      char* start = bytes.data() + (16 - reinterpret_cast<uintptr_t>(bytes.data()) % 16) % 16;
      emulation::Block block(machine, index);
      Carver shared{start};
      Program<emulation::Block, W, T>(block, a, shared).run();
      if (shared.used != shared_bytes) emulation::fail("block %d carves %lld bytes", index, (long long)shared.used);
      for (char* at = start + shared_bytes; at < start + shared_bytes + kGuard; ++at)
        if (*at != static_cast<char>(0xFF)) emulation::fail("block %d writes beyond its shared memory", index);
    });
  } catch (const emulation::Fault& fault) {
    snprintf(report, size, "%s", fault.what());
    return false;
  }
  return true;
}

}  // namespace

#define MM_BOTH_PASSES(name, W, T)                                                                                   \
  extern "C" bool forward_##name(                                                                                    \
      const ForwardArguments<W, T>* a, const Memory* memories, int count, const Options* options, char* report, int n) { \
    return run<Forward, W, T>(*a, forward_shared_bytes<W, T>(a->sizes), memories, count, *options, report, n);       \
  }                                                                                                                  \
  extern "C" bool backward_##name(                                                                                   \
      const BackwardArguments<W, T>* a, const Memory* memories, int count, const Options* options, char* report,     \
      int n) {                                                                                                       \
    return run<Backward, W, T>(*a, backward_shared_bytes<W, T>(a->sizes), memories, count, *options, report, n);     \
  }                                                                                                                  \
  extern "C" int64_t packed_##name(const ScanSizes* s, bool backward) {                                              \
    return backward ? BackwardShared<W, T>::packed_size(*s) : ForwardShared<W, T>::packed_size(*s);                  \
  }                                                                                                                  \
  extern "C" int64_t shared_##name(const ScanSizes* s, bool backward) {                                              \
    return backward ? backward_shared_bytes<W, T>(*s) : forward_shared_bytes<W, T>(*s);                              \
  }                                                                                                                  \
  extern "C" bool plan_##name(ScanSizes* s, bool backward, int blocks, int64_t bytes) {                              \
    return plan(*s, blocks, bytes, backward ? backward_shared_bytes<W, T> : forward_shared_bytes<W, T>);             \
  }

MM_BOTH_PASSES(float32, float, float)
MM_BOTH_PASSES(float64, double, double)
MM_BOTH_PASSES(bfloat16, Bfloat16, float)

extern "C" int64_t trace_size(const ScanSizes* s, bool save) { return ScanTrace<float>(*s, save, nullptr).size; }
extern "C" int64_t gates_size(const ScanSizes* s) { return ScanGates<float>(*s, nullptr).size; }
extern "C" int64_t order_size(const ScanSizes* s) { return ScanOrder(*s, nullptr).size; }
extern "C" void put_in_order_of(const OrderArguments* a, int64_t index) { put_in_order(*a, index); }

// The pieces the programs are made of.
extern "C" double gru_of(double* gates, double before) {
  Gates<double> values{gates[0], gates[1], gates[2], gates[3]};
  const double after = gru(values, before);
  gates[0] = values.h_n, gates[1] = values.r, gates[2] = values.z, gates[3] = values.n;
  return after;
}
extern "C" double gru_backward_of(const double* gates, double before, double gradient, double* out) {
  double direct;
  const Gates<double> d = gru_backward(Gates<double>{gates[0], gates[1], gates[2], gates[3]}, before, gradient, direct);
  out[0] = d.h_n, out[1] = d.r, out[2] = d.z, out[3] = d.n;
  return direct;
}
extern "C" void softmax_of(const double* scores, int count, int pieces, double* weights) {
  Peak<double> all;
  for (int piece = 0; piece < pieces; ++piece) {
    Peak<double> own;
    for (int i = piece; i < count; i += pieces) own = add(own, scores[i]);
    all = combine(all, own);
  }
  for (int i = 0; i < count; ++i) weights[i] = weight_of(scores[i], all.top, all.sum);
}
extern "C" float widen(uint16_t bits) { return Bfloat16{bits}; }
