// The CUDA ops of the fusions, their checks and launches as well as their kernels, on the emulator: for test_emulation.py,
// as ops of another name for tensors on the CPU.
#define mm_emotion mm_emotion_emulated

#include "emulator.h"

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/headeronly/util/BFloat16.h>

#include "../../csrc/checks.h"

namespace mm_emotion {

struct Place {
  explicit Place(const Tensor&) {}
  Stream stream() const { return 0; }
};

inline void check_device(const char*, const Tensor&, const Tensor&) {}

}  // namespace mm_emotion

#define CUDA CPU
#include "../../csrc/cuda/product_fusion.cu"
#include "../../csrc/cuda/tensor_fusion.cu"
#include "../../csrc/library.cpp"

extern "C" __attribute__((visibility("default"))) void seed(uint32_t value) { emulator::chance.seed(value); }
extern "C" __attribute__((visibility("default"))) uint32_t divide(uint32_t number, uint32_t by) {
  return mm_emotion::Divisor(by).divide(number);
}
