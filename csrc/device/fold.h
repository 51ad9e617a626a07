// The sums of N values over the 32 lanes of a warp, left one to a lane instead of all to all: N + log(32 / N) exchanges
// in place of 5 N. A lane exchanges with lane ^ bit; both sides of an exchange run the same step.
#pragma once

#include "portable.h"

namespace mm_emotion::device {

// What a lane sends in the step of `bit` while `half` values stay with it: those of the other lane's half.
template <int kHalf, typename T>
MM_PORTABLE void fold_send(const T* values, bool upper, T* sent) {
  MM_UNROLL
  for (int i = 0; i < kHalf; ++i) sent[i] = upper ? values[i] : values[kHalf + i];
}

template <int kHalf, typename T>
MM_PORTABLE void fold_keep(T* values, bool upper, const T* received) {
  MM_UNROLL
  for (int i = 0; i < kHalf; ++i) values[i] = (upper ? values[kHalf + i] : values[i]) + received[i];
}

// Which of N sums a lane holds in the end; lanes that differ in the lowest log(32 / N) bits alone hold the same.
template <int kCount>
MM_PORTABLE int fold_place(int lane) {
  return lane / (kLanes / kCount);
}

template <int kCount>
MM_PORTABLE bool fold_first(int lane) {
  return lane % (kLanes / kCount) == 0;
}

}  // namespace mm_emotion::device
