#include "instruction_set.h"

#include <cstdlib>
#include <cstring>

namespace mm_emotion {
namespace {

InstructionSet choose() {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  const char* wanted = std::getenv("MM_EMOTION_CPU");
  const bool any = wanted == nullptr || *wanted == '\0';
  const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  if (wide && (any || std::strcmp(wanted, "avx512") == 0)) return InstructionSet::kAvx512;
  const bool medium = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (medium && (any || std::strcmp(wanted, "baseline") != 0)) return InstructionSet::kAvx2;
#endif
  return InstructionSet::kBaseline;
}

}  // namespace

InstructionSet instruction_set() {
  static const InstructionSet chosen = choose();
  return chosen;
}

}  // namespace mm_emotion
