// The kernels of the tensor fusion compiled for each instruction set.
#include "tensor_fusion.h"

#include <bit>
#include <cstring>

#include "kernels.h"

namespace mm_emotion {
namespace {

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define MM_EMOTION_X86 1

#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,prefer-vector-width=512")
namespace avx512 {
#define BYTES 64
#define TILE 14
#include "tensor_fusion_body.h"
#undef BYTES
#undef TILE
}  // namespace avx512
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace avx2 {
#define BYTES 32
#define TILE 6
#include "tensor_fusion_body.h"
#undef BYTES
#undef TILE
}  // namespace avx2
#pragma GCC pop_options
#endif

namespace baseline {
#define BYTES 16
#define TILE 6
#include "tensor_fusion_body.h"
#undef BYTES
#undef TILE
}  // namespace baseline

}  // namespace

template <typename T>
const FusionKernels<T>& fusion_kernels() {
#ifdef MM_EMOTION_X86
  static const char* const name = kernels<T>().name;
  if (std::strcmp(name, "avx512") == 0) return avx512::table<T>();
  if (std::strcmp(name, "avx2") == 0) return avx2::table<T>();
#endif
  return baseline::table<T>();
}
template const FusionKernels<float>& fusion_kernels<float>();
template const FusionKernels<double>& fusion_kernels<double>();

}  // namespace mm_emotion
