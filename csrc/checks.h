// Checks of what a kernel is given, with messages that name the argument. Python checks first and more kindly; these
// keep a direct call of an op from reading where it must not.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <initializer_list>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>

namespace mm_emotion {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

template <typename... Parts>
[[noreturn]] inline void refuse(const char* argument, const Parts&... parts) {
  std::ostringstream message;
  message << argument << ": expected ";
  (message << ... << parts);
  throw std::runtime_error(message.str());
}

inline void check_cpu(const char* argument, const Tensor& tensor) {
  if (!tensor.is_cpu()) refuse(argument, "a tensor on the CPU");
}

inline void check_type(const char* argument, const Tensor& tensor, ScalarType type, const char* name) {
  check_cpu(argument, tensor);
  if (tensor.scalar_type() != type) refuse(argument, "dtype ", name);
}

inline void check_shape(const char* argument, const Tensor& tensor, std::initializer_list<int64_t> shape) {
  bool same = tensor.dim() == static_cast<int64_t>(shape.size());
  int64_t axis = 0;
  for (int64_t size : shape) same = same && tensor.size(axis++) == size;
  if (same) return;
  std::ostringstream text;
  for (int64_t size : shape) text << size << ", ";
  refuse(argument, "shape (", text.str(), ")");
}

// A tensor kept alive in contiguous form together with its first element.
template <typename T>
struct Rows {
  Rows() = default;
  explicit Rows(const Tensor& tensor) : held(torch::stable::contiguous(tensor)) {
    data = static_cast<const T*>(held->data_ptr());
  }
  explicit Rows(const std::optional<Tensor>& tensor) {
    if (tensor.has_value()) *this = Rows(*tensor);
  }
  explicit operator bool() const { return held.has_value(); }

  std::optional<Tensor> held;
  const T* data = nullptr;
};

template <typename T>
T* writable(const Tensor& tensor) {
  return static_cast<T*>(tensor.data_ptr());
}

}  // namespace mm_emotion
