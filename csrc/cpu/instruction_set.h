// Which instruction set the kernels of this process use: one binary serves every x86-64.
#pragma once

// For the bodies, which are included inside namespaces.
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>

namespace mm_emotion {

enum class InstructionSet { kBaseline, kAvx2, kAvx512 };

// The best that this processor can run; MM_EMOTION_CPU=avx512|avx2|baseline lowers the choice.
InstructionSet instruction_set();

}  // namespace mm_emotion
