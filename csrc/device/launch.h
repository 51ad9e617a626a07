// How kernels are started and how they reach shared memory. A kernel header includes this and no torch, so that nvcc
// compiles it for a device, and a C++ compiler for the emulation of tests/cuda/emulator.h, which stands in for this file.
#pragma once

#ifndef MM_EMOTION_EMULATED

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

namespace mm_emotion {

using Stream = cudaStream_t;

inline void check_cuda(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(std::string("CUDA: ") + cudaGetErrorString(status));
}

// The dynamic shared memory of a block, aligned for 16-byte accesses.
__device__ __forceinline__ char* shared_bytes() {
  extern __shared__ __align__(16) char bytes[];
  return bytes;
}

template <typename... Parameters, typename... Arguments>
void launch(
    void (*kernel)(Parameters...), dim3 grid, int threads, size_t shared, Stream stream, const Arguments&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  constexpr size_t kWithoutAsking = 48 * 1024;
  if (shared > kWithoutAsking) {
    const void* function = reinterpret_cast<const void*>(kernel);
    check_cuda(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared)));
  }
  kernel<<<grid, threads, shared, stream>>>(static_cast<Parameters>(arguments)...);
  check_cuda(cudaGetLastError());
}

}  // namespace mm_emotion

#endif
