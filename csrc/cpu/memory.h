// Memory of the kernels: what a call works in, and what it leaves for the next.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace mm_emotion {

using torch::stable::Tensor;

// Asks for large pages where the system grants them: fresh memory is otherwise paid for 4 KB at a time.
inline void prefer_large_pages(void* data, size_t bytes) {
#ifdef __linux__
  constexpr uintptr_t kPage = 1 << 21;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(data) + kPage - 1) & ~(kPage - 1);
  const uintptr_t end = (reinterpret_cast<uintptr_t>(data) + bytes) & ~(kPage - 1);
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

// Large blocks that were given back, for the next call of about the same size: the system clears what it hands out, which
// costs a training step more than a tenth of its time. At most kMost bytes lie idle, the newest of all that came back.
class Pool {
 public:
  static constexpr size_t kLarge = 1 << 21;
  static Pool& shared() {
    static Pool* const pool = new Pool;  // never destroyed: tensors may outlive it
    return *pool;
  }
  static size_t rounded(size_t bytes) { return bytes < kLarge ? (bytes / 64 + 1) * 64 : (bytes / kLarge + 1) * kLarge; }

  // At least rounded(bytes), uninitialised, on a cache line.
  void* take(size_t bytes) {
    const size_t size = rounded(bytes);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      for (auto block = idle_.rbegin(); block != idle_.rend(); ++block) {
        if (block->size != size) continue;
        void* data = block->data;
        total_ -= size;
        idle_.erase(std::next(block).base());
        return data;
      }
    }
    void* data = std::aligned_alloc(size < kLarge ? 64 : kLarge, size);
    if (data == nullptr) throw std::bad_alloc();
    prefer_large_pages(data, size);
    return data;
  }
  void give(void* data, size_t bytes) {
    const size_t size = rounded(bytes);
    if (size < kLarge || size > kMost) return std::free(data);
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.push_back({data, size});
    for (total_ += size; total_ > kMost; idle_.erase(idle_.begin())) {
      total_ -= idle_.front().size;
      std::free(idle_.front().data);
    }
  }

 private:
  struct Block {
    void* data;
    size_t size;
  };
#ifdef __SANITIZE_ADDRESS__
  static constexpr size_t kMost = 0;  // so that use after return is seen
#else
  static constexpr size_t kMost = 512 << 20;
#endif
  std::mutex mutex_;
  std::vector<Block> idle_;  // oldest first
  size_t total_ = 0;
};

// Uninitialised values on a cache line.
template <typename T>
class Buffer {
 public:
  explicit Buffer(int64_t count)
      : data_(static_cast<T*>(Pool::shared().take(count * sizeof(T))), Give{count * sizeof(T)}) {}
  T* data() const { return data_.get(); }

 private:
  struct Give {
    size_t bytes;
    void operator()(void* data) const { Pool::shared().give(data, bytes); }
  };
  std::unique_ptr<T, Give> data_;
};

// A fresh tensor in large pages.
template <typename T>
Tensor fresh(const Tensor& like, const std::vector<int64_t>& shape) {
  Tensor tensor = torch::stable::new_empty(like, shape);
  prefer_large_pages(tensor.data_ptr(), tensor.numel() * sizeof(T));
  return tensor;
}

// The same, from the pool.
template <typename T>
Tensor pooled(const Tensor& like, const std::vector<int64_t>& shape) {
  std::vector<int64_t> strides(shape.size());
  int64_t count = 1;
  for (size_t axis = shape.size(); axis-- > 0; count *= shape[axis]) strides[axis] = count;
  if (count * sizeof(T) < Pool::kLarge) return fresh<T>(like, shape);
  const size_t bytes = count * sizeof(T);
  return torch::stable::from_blob(
      Pool::shared().take(bytes), shape, strides, like.device(), like.scalar_type(),
      [bytes](void* data) { Pool::shared().give(data, bytes); });
}

}  // namespace mm_emotion
