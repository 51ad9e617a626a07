// The kernels compiled for each instruction set, and the choice among them at run time: one binary for every x86-64.
#include "kernels.h"

#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace mm_emotion {

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define MM_EMOTION_X86 1

#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,prefer-vector-width=512")
namespace avx512 {
#define BYTES 64
#define TILE 15
#include "kernels_body.h"
#undef BYTES
#undef TILE
}  // namespace avx512
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace avx2 {
#define BYTES 32
#define TILE 6
#include "kernels_body.h"
#undef BYTES
#undef TILE
}  // namespace avx2
#pragma GCC pop_options
#endif

namespace baseline {
#define BYTES 16
#define TILE 6
#include "kernels_body.h"
#undef BYTES
#undef TILE
}  // namespace baseline

namespace {

template <typename T>
const Kernels<T>& choose() {
#ifdef MM_EMOTION_X86
  const char* wanted = std::getenv("MM_EMOTION_CPU");
  const bool any = wanted == nullptr || *wanted == '\0';
  const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  if (wide && (any || std::strcmp(wanted, "avx512") == 0)) return avx512::table<T>("avx512");
  const bool medium = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (medium && (any || std::strcmp(wanted, "baseline") != 0)) return avx2::table<T>("avx2");
#endif
  return baseline::table<T>("baseline");
}

}  // namespace

template <typename T>
const Kernels<T>& kernels() {
  static const Kernels<T>& chosen = choose<T>();
  return chosen;
}
template const Kernels<float>& kernels<float>();
template const Kernels<double>& kernels<double>();

}  // namespace mm_emotion
