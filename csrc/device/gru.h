// One value of a GRU step and its derivatives, in the convention of torch.nn.GRUCell.
#pragma once

#include "portable.h"

namespace mm_emotion::device {

// Gates of one unit, in the order in which they are kept: before the step their sums of products, after it their values.
template <typename T>
struct Gates {
  T h_n, r, z, n;
};

template <typename T>
MM_PORTABLE T sigmoid(T x) {
  return T(1) / (T(1) + std::exp(-x));
}

// The new state; `gates` turn from sums into values.
template <typename T>
MM_PORTABLE T gru(Gates<T>& gates, T before) {
  gates.r = sigmoid(gates.r);
  gates.z = sigmoid(gates.z);
  gates.n = std::tanh(gates.n + gates.r * gates.h_n);
  return gates.n + gates.z * (before - gates.n);
}

// Gradients of the sums from that of the new state; what reaches the state before directly goes to `direct`.
template <typename T>
MM_PORTABLE Gates<T> gru_backward(const Gates<T>& gates, T before, T gradient, T& direct) {
  Gates<T> out;
  out.n = gradient * (1 - gates.z) * (1 - gates.n * gates.n);
  out.h_n = out.n * gates.r;
  out.r = out.h_n * gates.h_n * (1 - gates.r);
  out.z = gradient * (before - gates.n) * gates.z * (1 - gates.z);
  direct = gradient * gates.z;
  return out;
}

}  // namespace mm_emotion::device
