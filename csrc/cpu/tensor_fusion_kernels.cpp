// The kernels of the tensor fusion compiled for each instruction set.
#include "instruction_set.h"
#include "tensor_fusion.h"

namespace mm_emotion {
namespace {
#define BODY "tensor_fusion_body.h"
#define WIDEST_TILE 14
#include "each_instruction_set.h"
}  // namespace

template <typename T>
const FusionKernels<T>& fusion_kernels() {
  return best_table<T>();
}
template const FusionKernels<float>& fusion_kernels<float>();
template const FusionKernels<double>& fusion_kernels<double>();

}  // namespace mm_emotion
