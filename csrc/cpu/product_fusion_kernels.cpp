// The kernels of the product of experts compiled for each instruction set.
#include "instruction_set.h"
#include "product_fusion.h"

namespace mm_emotion {
namespace {
#define BODY "product_fusion_body.h"
#define WIDEST_TILE 1
#include "each_instruction_set.h"
}  // namespace

template <typename T>
const ProductKernels<T>& product_kernels() {
  return best_table<T>();
}
template const ProductKernels<float>& product_kernels<float>();
template const ProductKernels<double>& product_kernels<double>();

}  // namespace mm_emotion
