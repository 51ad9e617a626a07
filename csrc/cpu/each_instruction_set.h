// Compiles BODY once for each instruction set, in a namespace of its own, with BYTES (of a vector) and TILE (rows of a
// tile that the registers hold beside two vectors; WIDEST_TILE with the widest) defined. A body ends in `table<T>()`, its
// kernels; `best_table<T>()` is that of the instruction set in use. Included inside a namespace without a name.

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define MM_EMOTION_X86 1

#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,prefer-vector-width=512")
namespace avx512 {
#define BYTES 64
#define TILE WIDEST_TILE
#include BODY
#undef BYTES
#undef TILE
}  // namespace avx512
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace avx2 {
#define BYTES 32
#define TILE 6
#include BODY
#undef BYTES
#undef TILE
}  // namespace avx2
#pragma GCC pop_options
#endif

namespace baseline {
#define BYTES 16
#define TILE 6
#include BODY
#undef BYTES
#undef TILE
}  // namespace baseline

template <typename T>
const auto& best_table() {
#ifdef MM_EMOTION_X86
  if (instruction_set() == InstructionSet::kAvx512) return avx512::table<T>();
  if (instruction_set() == InstructionSet::kAvx2) return avx2::table<T>();
#endif
  return baseline::table<T>();
}
