// Softmax over scores that arrive one after the other or in several places.
#pragma once

#include "portable.h"

namespace mm_emotion::device {

// The largest of some scores, and the sum of the exponentials of all of them relative to it.
template <typename T>
struct Peak {
  T top = -INFINITY, sum = 0;
};

// Of all scores of both; exact also where one of them, or both, has none.
template <typename T>
MM_PORTABLE Peak<T> combine(const Peak<T>& a, const Peak<T>& b) {
  const bool first = a.top >= b.top;
  const T top = first ? a.top : b.top, below = first ? b.top : a.top;
  const T sum = first ? a.sum : b.sum, low = first ? b.sum : a.sum;
  return {top, low == 0 ? sum : sum + low * std::exp(below - top)};
}

template <typename T>
MM_PORTABLE Peak<T> add(const Peak<T>& peak, T score) {
  return combine(peak, Peak<T>{score, T(1)});
}

template <typename T>
MM_PORTABLE T weight_of(T score, T top, T sum) {
  return std::exp(score - top) / sum;
}

}  // namespace mm_emotion::device
