// A linear layer on an outer product on CUDA devices. A small batch goes to the kernels of device/tensor_fusion.h, which
// read the weight once and make the outer product as they go. A large one fills matrix products, one modality after the
// other: with W as (I*J, K*H), (t x a) W is (B, K*H), and its product with v is the result.
#include "../device/tensor_fusion.h"

#include <tuple>

#include "stream.h"

namespace mm_emotion {
namespace {

using torch::stable::matmul;
using torch::stable::narrow;
using torch::stable::transpose;
using torch::stable::view;

// From here on matrix products take over; in half precision sooner, since they alone use matrix units. Not measured yet.
constexpr int64_t kMatrixBatch = 256, kHalfMatrixBatch = 32;
constexpr int64_t kMostRows = int64_t(1) << 31;

struct Sizes {
  int64_t batch, i, j, k, outputs;

  Sizes(const std::vector<Tensor>& xs, const Tensor& weight)
      : batch(xs[0].size(0)),
        i(weight.size(0)),
        j(xs.size() == 3 ? weight.size(1) : 1),
        k(weight.size(weight.dim() - 2)),
        outputs(weight.size(weight.dim() - 1)) {}

  template <typename T>
  bool by_kernel() const {
    return batch < (sizeof(T) == 2 ? kHalfMatrixBatch : kMatrixBatch) && i * j * k < kMostRows;
  }
};

void check(const std::vector<Tensor>& xs, const Tensor& weight) {
  if (xs.size() != 2 && xs.size() != 3) refuse("xs", "two or three modalities");
  if (weight.dim() != static_cast<int64_t>(xs.size()) + 1) refuse("weight", xs.size() + 1, " axes");
  for (size_t m = 0; m < xs.size(); ++m) {
    if (weight.size(m) < 1) refuse("weight", "axes of at least 1, the index of a modality's 1");
    if (xs[m].dim() != 2) refuse("xs", "shape (B, features)");
    check_like("xs", xs[m], weight, {xs[0].size(0), weight.size(m) - 1});
  }
}

// The modalities as three; where there are two, the one in the middle is empty.
template <typename T>
struct Modalities {
  Rows<T> t, a, v;

  explicit Modalities(const std::vector<Tensor>& xs) : t(xs.front()), v(xs.back()) {
    if (xs.size() == 3) a = Rows<T>(xs[1]);
  }
};

// What all kernels of a call read.
template <typename T>
struct Prepared {
  using A = typename Wide<T>::type;

  Rows<T> weight;
  Tensor factors;
  fusion::Given<T> given;

  Prepared(const Modalities<T>& from, const Tensor& weight_, const Sizes& sizes, Stream stream)
      : weight(weight_),
        factors(workspace<A>(weight_, (sizes.i + sizes.j + sizes.k) * sizes.batch)),
        given(
            weight.data, writable<A>(factors), sizes.batch, sizes.outputs,
            {static_cast<uint32_t>(sizes.i), static_cast<uint32_t>(sizes.j), static_cast<uint32_t>(sizes.k)}) {
    fusion::run_extend(given, {from.t.data, from.a.data, from.v.data}, writable<A>(factors), stream);
  }
};

// left (B, m) times right (B, n) as (B, m*n); an extended side is given without its 1.
template <typename T>
Tensor outer(
    const Tensor& like, const T* left, const T* right, int64_t batch, int64_t m, int64_t n, bool left_extended,
    bool right_extended, Stream stream) {
  Tensor out = torch::stable::new_empty(like, std::vector<int64_t>{batch, m * n});
  fusion::run_outer(left, right, batch, m, n, left_extended, right_extended, writable<T>(out), stream);
  return out;
}

// A modality with its 1.
template <typename T>
Tensor extended(const Tensor& like, const Rows<T>& x, int64_t batch, int64_t size, Stream stream) {
  return outer<T>(like, x.data, nullptr, batch, size, 1, true, true, stream);
}

template <typename T>
Tensor forward_by_matrices(
    const Modalities<T>& from, const Tensor& weight, const std::optional<Tensor>& bias, const Sizes& s, Stream stream) {
  const Tensor pairs = outer(weight, from.t.data, from.a.data, s.batch, s.i, s.j, true, true, stream);
  const Tensor mixed = matmul(pairs, view(weight, {s.i * s.j, s.k * s.outputs}));  // (B, K*H)
  const Tensor v = extended(weight, from.v, s.batch, s.k, stream);
  const Tensor out = matmul(view(v, {s.batch, 1, s.k}), view(mixed, {s.batch, s.k, s.outputs}));
  const Tensor result = view(out, {s.batch, s.outputs});
  return bias ? torch::stable::subtract(result, *bias, -1.0) : result;  // there is no stable add
}

template <typename T>
Tensor forward_by_kernel(
    const Modalities<T>& from, const Tensor& weight, const std::optional<Tensor>& bias, const Sizes& s, Stream stream) {
  using A = typename Wide<T>::type;
  const Prepared<T> prepared(from, weight, s, stream);
  const Rows<T> added(bias);
  Tensor out = torch::stable::new_empty(weight, std::vector<int64_t>{s.batch, s.outputs});
  const Tensor partial = workspace<A>(weight, fusion::forward_splits(prepared.given) * s.batch * s.outputs);
  fusion::run_forward(prepared.given, added.data, writable<A>(partial), writable<T>(out), stream);
  return out;
}

Tensor tensor_fusion_linear(const std::vector<Tensor>& xs, const Tensor& weight, const std::optional<Tensor>& bias) {
  check(xs, weight);
  const Sizes sizes(xs, weight);
  if (bias) check_like("bias", *bias, weight, {sizes.outputs});
  return with_element("weight", weight, [&](auto zero) {
    using T = decltype(zero);
    const Place place(weight);
    const Modalities<T> from(xs);
    const auto run = sizes.by_kernel<T>() ? forward_by_kernel<T> : forward_by_matrices<T>;
    return run(from, torch::stable::contiguous(weight), bias, sizes, place.stream());
  });
}

Tensor without_one(const Tensor& d, int64_t batch, int64_t size) {
  Tensor inner = view(d, {batch, size});
  return torch::stable::contiguous(narrow(inner, 1, 1, size - 1));
}

template <typename T>
struct Gradients {
  const Modalities<T>& from;
  const Tensor& weight;
  const Rows<T>& dy;
  const Tensor& d_out;
  const Sizes& s;
  bool needs[3], needs_weight;
  Tensor none;
  Tensor d_x[3] = {none, none, none};
  Tensor d_weight = none;

  void by_kernel(Stream stream) {
    using A = typename Wide<T>::type;
    const Prepared<T> prepared(from, weight, s, stream);
    if (needs_weight) {
      d_weight = torch::stable::new_empty(weight, shape_of(weight));
      fusion::run_weight(prepared.given, dy.data, writable<T>(d_weight), stream);
    }
    if (!needs[0] && !needs[1] && !needs[2]) return;
    const int64_t sizes[3] = {s.i, s.j, s.k};
    fusion::Targets<T> to{};
    for (int m = 0; m < 3; ++m) {
      if (!needs[m]) continue;
      d_x[m] = torch::stable::new_empty(weight, std::vector<int64_t>{s.batch, sizes[m] - 1});
      to.d_x[m] = writable<T>(d_x[m]);
    }
    const Tensor d_pairs = workspace<A>(weight, s.i * s.j * s.batch);
    const Tensor partial = workspace<A>(weight, fusion::factor_splits(prepared.given) * s.k * s.batch);
    fusion::run_factors(prepared.given, dy.data, writable<A>(d_pairs), writable<A>(partial), to, stream);
  }

  void by_matrices(Stream stream) {
    const Tensor wide = view(weight, {s.i * s.j, s.k * s.outputs});
    const Tensor pairs = outer(weight, from.t.data, from.a.data, s.batch, s.i, s.j, true, true, stream);
    if (needs[2]) {
      const Tensor mixed = view(matmul(pairs, wide), {s.batch, s.k, s.outputs});
      d_x[2] = without_one(matmul(mixed, view(d_out, {s.batch, s.outputs, 1})), s.batch, s.k);
    }
    if (!needs[0] && !needs[1] && !needs_weight) return;
    const Tensor d_mixed = outer(weight, from.v.data, dy.data, s.batch, s.k, s.outputs, true, false, stream);
    if (needs_weight) {
      const Tensor d = torch::stable::contiguous(matmul(transpose(pairs, 0, 1), d_mixed));
      d_weight = view(d, shape_of(weight));
    }
    if (!needs[0] && !needs[1]) return;
    const Tensor product = matmul(d_mixed, transpose(wide, 0, 1));
    const Tensor d_pairs = view(torch::stable::contiguous(product), {s.batch, s.i, s.j});
    if (needs[0]) {
      const Tensor a = extended(weight, from.a, s.batch, s.j, stream);
      d_x[0] = without_one(matmul(d_pairs, view(a, {s.batch, s.j, 1})), s.batch, s.i);
    }
    if (needs[1]) {
      const Tensor t = extended(weight, from.t, s.batch, s.i, stream);
      d_x[1] = without_one(matmul(view(t, {s.batch, 1, s.i}), d_pairs), s.batch, s.j);
    }
  }
};

std::tuple<std::vector<Tensor>, Tensor> tensor_fusion_linear_backward(
    const Tensor& d_out, const std::vector<Tensor>& xs, const Tensor& weight, const std::vector<bool>& needs) {
  check(xs, weight);
  const Sizes sizes(xs, weight);
  check_like("d_out", d_out, weight, {sizes.batch, sizes.outputs});
  if (needs.size() != xs.size() + 1) refuse("needs", xs.size() + 1, " values");
  return with_element("weight", weight, [&](auto zero) {
    using T = decltype(zero);
    const Place place(weight);
    const Modalities<T> from(xs);
    const Tensor whole = torch::stable::contiguous(weight), given = torch::stable::contiguous(d_out);
    const Rows<T> dy(given);
    const bool three = xs.size() == 3;
    Gradients<T> gradients{
        from, whole, dy, given, sizes, {needs[0], three && needs[1], needs[xs.size() - 1]}, needs.back(),
        torch::stable::new_empty(weight, std::vector<int64_t>{0})};
    const bool any = needs[0] || (three && needs[1]) || needs[xs.size() - 1];
    if (sizes.by_kernel<T>() && (!any || fusion::factors_fit<T>(static_cast<uint32_t>(sizes.k)))) {
      gradients.by_kernel(place.stream());
    } else {
      gradients.by_matrices(place.stream());
    }
    std::vector<Tensor> d_xs{gradients.d_x[0]};
    if (three) d_xs.push_back(gradients.d_x[1]);
    d_xs.push_back(gradients.d_x[2]);
    return std::make_tuple(d_xs, gradients.d_weight);
  });
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(mm_emotion, CUDA, m) {
  m.impl("tensor_fusion_linear", TORCH_BOX(&tensor_fusion_linear));
  m.impl("tensor_fusion_linear_backward", TORCH_BOX(&tensor_fusion_linear_backward));
}

}  // namespace mm_emotion
