// mm_emotion._C: what is not a torch op. No torch header, so that it builds in seconds and fits every torch.
#include <pybind11/pybind11.h>

#include <sstream>
#include <string>

// Set by setup.py: what the CUDA kernels beside this module are compiled for, none without them.
#ifndef MM_EMOTION_CUDA_ARCHITECTURES
#define MM_EMOTION_CUDA_ARCHITECTURES ""
#endif

namespace {

pybind11::dict build_info() {
  pybind11::dict info;
#ifdef __VERSION__
  info["compiler"] = __VERSION__;
#else
  info["compiler"] = "unknown";
#endif
  info["cpp_standard"] = static_cast<long>(__cplusplus);
  pybind11::list cpu;
#if defined(__x86_64__) && defined(__GNUC__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f")) cpu.append("avx512f");
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) cpu.append("avx2");
#endif
  cpu.append("baseline");
  info["instruction_sets"] = cpu;
  pybind11::list cuda;
  std::istringstream names(MM_EMOTION_CUDA_ARCHITECTURES);
  for (std::string name; names >> name;) cuda.append(name);
  info["cuda_architectures"] = cuda;
  return info;
}

}  // namespace

PYBIND11_MODULE(_C, m) {
  m.doc() = "Facts about the native build.";
  m.def("build_info", &build_info, "Compiler, C++ standard, usable instruction sets (best first), CUDA architectures.");
}
