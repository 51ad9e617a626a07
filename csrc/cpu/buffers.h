// Scratch memory and fresh results of the kernels.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include "../checks.h"

namespace mm_emotion {

// Asks for large pages where the system grants them: fresh memory is otherwise paid for 4 KB at a time.
inline void prefer_large_pages(void* data, size_t bytes) {
#ifdef __linux__
  constexpr uintptr_t kPage = 1 << 21;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(data) + kPage - 1) & ~(kPage - 1);
  const uintptr_t end = (reinterpret_cast<uintptr_t>(data) + bytes) & ~(kPage - 1);
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

// Uninitialised memory on a cache line.
template <typename T>
class Buffer {
 public:
  explicit Buffer(int64_t count) : data_(static_cast<T*>(std::aligned_alloc(64, (count * sizeof(T) / 64 + 1) * 64))) {
    if (!data_) throw std::bad_alloc();
    prefer_large_pages(data_.get(), count * sizeof(T));
  }
  T* data() const { return data_.get(); }

 private:
  struct Free {
    void operator()(void* data) const { std::free(data); }
  };
  std::unique_ptr<T, Free> data_;
};

// A fresh tensor in large pages.
template <typename T>
Tensor fresh(const Tensor& like, const std::vector<int64_t>& shape) {
  Tensor tensor = torch::stable::new_empty(like, shape);
  prefer_large_pages(tensor.data_ptr(), tensor.numel() * sizeof(T));
  return tensor;
}

}  // namespace mm_emotion
