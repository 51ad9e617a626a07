// Where torch wants a kernel to run, and checks of what it is given.
#pragma once

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/headeronly/util/BFloat16.h>

#include <vector>

#include "../checks.h"
#include "../device/launch.h"
#include "../device/number.h"

namespace mm_emotion {

#ifndef MM_EMOTION_EMULATED  // tests/cuda/emulated_ops.cpp has its own, for tensors on the CPU

// A torch without CUDA lacks it; it loads this library all the same and shows which ops it holds.
#pragma weak aoti_torch_get_current_cuda_stream

// Makes the device of a tensor the current one for as long as it lives, and knows torch's current stream on it.
class Place {
 public:
  explicit Place(const Tensor& tensor) : guard_(tensor.get_device_index()) {
    if (aoti_torch_get_current_cuda_stream == nullptr) throw std::runtime_error("this torch has no CUDA");
    void* stream = nullptr;
    if (aoti_torch_get_current_cuda_stream(tensor.get_device_index(), &stream) != AOTI_TORCH_SUCCESS)
      throw std::runtime_error("torch names no current CUDA stream");
    stream_ = static_cast<Stream>(stream);
    check_cuda(cudaSetDevice(tensor.get_device_index()));  // of the runtime in this library, which torch's guard is not
  }

  Stream stream() const { return stream_; }

 private:
  torch::stable::accelerator::DeviceGuard guard_;
  Stream stream_ = nullptr;
};

inline void check_device(const char* argument, const Tensor& tensor, const Tensor& like) {
  if (!tensor.is_cuda() || tensor.get_device_index() != like.get_device_index()) refuse(argument, "the same CUDA device");
}

#endif

inline void check_like(
    const char* argument, const Tensor& tensor, const Tensor& like, std::initializer_list<int64_t> shape) {
  check_device(argument, tensor, like);
  if (tensor.scalar_type() != like.scalar_type()) refuse(argument, "the dtype of the other tensors");
  check_shape(argument, tensor, shape);
}

// Whether `tensor` has the shape of `like` with `last` in place of its last two axes.
inline bool has_rows_of(const Tensor& tensor, const Tensor& like, int64_t last) {
  const int64_t shared = like.dim() - 2;
  bool same = tensor.dim() == shared + 1;
  for (int64_t axis = 0; same && axis < shared; ++axis) same = tensor.size(axis) == like.size(axis);
  return same && tensor.size(shared) == last;
}

// Runs with a value of the element type of `tensor`.
template <typename Run>
auto with_element(const char* argument, const Tensor& tensor, const Run& run) {
  switch (tensor.scalar_type()) {
    case ScalarType::Float:
      return run(float());
    case ScalarType::Double:
      return run(double());
    case ScalarType::BFloat16:
      return run(c10::BFloat16(0.0f));
    default:
      refuse(argument, "float32, float64 or bfloat16");
  }
}

inline std::vector<int64_t> shape_of(const Tensor& tensor) {
  return std::vector<int64_t>(tensor.sizes().begin(), tensor.sizes().end());
}

// Uninitialised memory for sums.
template <typename A>
Tensor workspace(const Tensor& like, int64_t values) {
  const ScalarType type = sizeof(A) == 8 ? ScalarType::Double : ScalarType::Float;
  return torch::stable::new_empty(like, std::vector<int64_t>{values}, type);
}

}  // namespace mm_emotion
