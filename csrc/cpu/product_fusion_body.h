// One instruction set's version of the product of experts; see each_instruction_set.h for BYTES. Each lane is a row.
#include "simd_body.h"

template <typename T>
constexpr T kNothing = -std::numeric_limits<T>::infinity();

// total (classes) = the unnormalised log product; returns its largest entry.
template <typename T>
typename Simd<T>::Vector log_product(const Experts<T>& experts, const T* log_probs, const T* present, T* total) {
  using S = Simd<T>;
  using Vector = typename S::Vector;
  constexpr int64_t lanes = S::kLanes;
  const int64_t classes = experts.classes;
  Vector exponent = Vector{} - T(1), top = Vector{} + kNothing<T>;
  for (int64_t c = 0; c < classes; ++c) S::store(total + c * lanes, Vector{});
  for (int64_t m = 0; m < experts.modalities; ++m, log_probs += classes * lanes) {
    const T weight = experts.weights[m];
    if (weight == 0) continue;
    const Vector here = present ? S::load(present + m * lanes) : Vector{} + T(1);
    exponent += here * weight;
    for (int64_t c = 0; c < classes; ++c) {
      const Vector sum = S::load(total + c * lanes);
      S::store(total + c * lanes, here != T(0) ? sum + weight * S::load(log_probs + c * lanes) : sum);
    }
  }
  for (int64_t c = 0; c < classes; ++c) {
    Vector sum = S::load(total + c * lanes);
    if (experts.prior) {
      const T prior = experts.prior[c];
      sum = prior == kNothing<T> ? Vector{} + prior : sum - exponent * prior;
      S::store(total + c * lanes, sum);
    }
    top = sum > top ? sum : top;
  }
  return top;
}

template <typename T>
void fuse(const Experts<T>& experts, const T* log_probs, const T* present, T* out) {
  using S = Simd<T>;
  using Vector = typename S::Vector;
  constexpr int64_t lanes = S::kLanes;
  const int64_t classes = experts.classes;
  const Vector top = log_product(experts, log_probs, present, out);
  Vector mass = {};
  for (int64_t c = 0; c < classes; ++c) mass += exponential(S::load(out + c * lanes) - top);
  const Vector norm = top + logarithm(mass), even = Vector{} - T(std::log(T(classes)));
  for (int64_t c = 0; c < classes; ++c)
    S::store(out + c * lanes, top == kNothing<T> ? even : S::load(out + c * lanes) - norm);
}

// A class that is ruled out, and a row whose classes all are, depend on nothing.
template <typename T>
void fuse_backward(
    const Experts<T>& experts, const T* log_probs, const T* present, const T* d_out, T* scratch, T* d_log_probs,
    double* d_weights) {
  using S = Simd<T>;
  using Vector = typename S::Vector;
  constexpr int64_t lanes = S::kLanes;
  const int64_t classes = experts.classes;
  T *total = scratch, *d_total = scratch + classes * lanes;
  const Vector top = log_product(experts, log_probs, present, total);
  Vector mass = {}, d_sum = {};
  for (int64_t c = 0; c < classes; ++c) {
    const Vector value = S::load(total + c * lanes);
    const Vector share = value != kNothing<T> ? exponential(value - top) : Vector{};
    S::store(d_total + c * lanes, share);
    mass += share;
    d_sum += value != kNothing<T> ? S::load(d_out + c * lanes) : Vector{};
  }
  const Vector ratio = d_sum / mass;
  for (int64_t c = 0; c < classes; ++c) {
    const Vector d = S::load(d_out + c * lanes) - S::load(d_total + c * lanes) * ratio;
    S::store(d_total + c * lanes, S::load(total + c * lanes) != kNothing<T> ? d : Vector{});
  }
  for (int64_t m = 0; m < experts.modalities; ++m) {
    const Vector here = present ? S::load(present + m * lanes) : Vector{} + T(1);
    const Vector weight = here * experts.weights[m];
    Vector d_weight = {};
    for (int64_t c = 0; c < classes; ++c, log_probs += lanes, d_log_probs += lanes) {
      const Vector d = S::load(d_total + c * lanes), value = S::load(log_probs);
      S::store(d_log_probs, weight * d);
      const T prior = experts.prior && experts.prior[c] != kNothing<T> ? experts.prior[c] : T(0);
      const Vector term = d * ((value != kNothing<T> ? value : Vector{}) - prior);
      d_weight += here != T(0) && d != T(0) ? term : Vector{};
    }
    d_weights[m] += S::total(d_weight);
  }
}

template <typename T>
const ProductKernels<T>& table() {
  static const ProductKernels<T> all{Simd<T>::kLanes, fuse<T>, fuse_backward<T>};
  return all;
}
