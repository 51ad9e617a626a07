// The fusion kernels on the emulator, for test_emulation.py: pointers and sizes in, 0 out.
#include <torch/headeronly/util/BFloat16.h>

#include <vector>

#include "../../csrc/device/product_fusion.h"
#include "../../csrc/device/tensor_fusion.h"

using namespace mm_emotion;

namespace {

// What a kernel gets uninitialised is NaN here.
template <typename T>
std::vector<T> fresh(int64_t values) {
  std::vector<T> memory(values);
  std::memset(static_cast<void*>(memory.data()), 0xff, values * sizeof(T));
  return memory;
}

template <typename T>
void run_product(
    const T* log_probs, const T* weights, const T* log_prior, const bool* mask, const T* d_out, int64_t rows,
    int64_t modalities, int64_t classes, T* out, T* d_log_probs, T* d_weights) {
  const product::Given<T> given{log_probs, weights, log_prior, mask, rows, static_cast<int>(modalities), classes};
  product::run_forward(given, out, 0);
  std::vector<double> partial = fresh<double>(product::backward_blocks(given) * modalities);
  product::run_backward(given, d_out, d_log_probs, d_weights, partial.data(), 0);
}

template <typename T>
void run_tensor(
    const T* const* xs, const T* weight, const T* bias, const T* d_out, int64_t batch, const int64_t* sizes,
    int64_t outputs, T* out, T* const* d_xs, T* d_weight) {
  using A = typename Wide<T>::type;
  const uint32_t shape[3] = {uint32_t(sizes[0]), uint32_t(sizes[1]), uint32_t(sizes[2])};
  std::vector<A> factors = fresh<A>((sizes[0] + sizes[1] + sizes[2]) * batch);
  const fusion::Given<T> given(weight, factors.data(), batch, outputs, shape);
  fusion::run_extend(given, {xs[0], xs[1], xs[2]}, factors.data(), 0);
  std::vector<A> partial = fresh<A>(fusion::forward_splits(given) * batch * outputs);
  fusion::run_forward(given, bias, partial.data(), out, 0);
  fusion::run_weight(given, d_out, d_weight, 0);
  std::vector<A> d_pairs = fresh<A>(given.pairs() * batch);
  std::vector<A> d_v = fresh<A>(fusion::factor_splits(given) * sizes[2] * batch);
  fusion::run_factors(
      given, d_out, d_pairs.data(), d_v.data(), fusion::Targets<T>{{d_xs[0], d_xs[1], d_xs[2]}}, 0);
}

}  // namespace

#define EXPORTS(T, NAME)                                                                                          \
  extern "C" void product_##NAME(                                                                                 \
      const void* l, const void* w, const void* prior, const void* mask, const void* d_out, int64_t rows,         \
      int64_t modalities, int64_t classes, void* out, void* d_l, void* d_w) {                                     \
    run_product<T>(                                                                                               \
        (const T*)l, (const T*)w, (const T*)prior, (const bool*)mask, (const T*)d_out, rows, modalities, classes, \
        (T*)out, (T*)d_l, (T*)d_w);                                                                               \
  }                                                                                                               \
  extern "C" void tensor_##NAME(                                                                                  \
      const void* const* xs, const void* weight, const void* bias, const void* d_out, int64_t batch,              \
      const int64_t* sizes, int64_t outputs, void* out, void* const* d_xs, void* d_weight) {                      \
    run_tensor<T>(                                                                                                \
        (const T* const*)xs, (const T*)weight, (const T*)bias, (const T*)d_out, batch, sizes, outputs, (T*)out,   \
        (T* const*)d_xs, (T*)d_weight);                                                                           \
  }

EXPORTS(float, float32)
EXPORTS(double, float64)
EXPORTS(c10::BFloat16, bfloat16)

extern "C" void seed(uint32_t value) { emulator::chance.seed(value); }
extern "C" uint32_t divide(uint32_t number, uint32_t by) { return Divisor(by).divide(number); }
