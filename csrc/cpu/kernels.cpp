// The kernels of the scan compiled for each instruction set.
#include "kernels.h"

#include "instruction_set.h"

namespace mm_emotion {
namespace {
#define BODY "kernels_body.h"
#define WIDEST_TILE 15
#include "each_instruction_set.h"
}  // namespace

template <typename T>
const Kernels<T>& kernels() {
  return best_table<T>();
}
template const Kernels<float>& kernels<float>();
template const Kernels<double>& kernels<double>();

}  // namespace mm_emotion
