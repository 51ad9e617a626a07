// What the forward and the backward pass of the DialogueRNN scan check, allocate and launch alike on CUDA devices.
// Not yet executed on a GPU: off by default (see mm_emotion/ops/_library.py); the programs themselves, in device/scan*.h,
// are proved on emulated blocks by tests/cuda/test_scan_emulated.py.
#pragma once

#include <algorithm>
#include <limits>

#include "../device/plan.h"
#include "block.cuh"

namespace mm_emotion {

struct ScanArguments {
  const Tensor &queries, &speakers, &lengths;
  const std::vector<Tensor>& weights;
  const std::optional<Tensor>& keep_mask;
  int64_t parties;
  const std::optional<Tensor>&history, &history_lengths;
};

inline void check_kind(const char* argument, const Tensor& tensor, const Tensor& like, ScalarType type, const char* name) {
  check_device(argument, tensor, like);
  if (tensor.scalar_type() != type) refuse(argument, "dtype ", name);
}

// Sizes of the arguments, after all of them have been checked but for their values, which stay on the device.
inline device::ScanSizes check_scan(const ScanArguments& given) {
  using namespace device;
  const Tensor& queries = given.queries;
  if (!queries.is_cuda() || queries.dim() != 4) refuse("queries", "shape (R, B, U, G) on a CUDA device");
  const int64_t directions = queries.size(0), dialogues = queries.size(1), steps = queries.size(2);
  const int64_t matrices = given.weights.size(), share = directions ? matrices / directions : 0;
  if (directions < 1 || directions > 2 || matrices != share * directions || (share != kLs && share != kWeights))
    refuse("weights", "10 or 13 tensors for each of 1 or 2 directions");
  const auto columns = [&](Weight which) { return given.weights[which].dim() == 2 ? given.weights[which].size(1) : 0; };
  const int64_t g = columns(kGh), p = columns(kPq), e = columns(kEh);
  if (g < 1 || p < 1 || e < 1) refuse("weights", "matrices with at least one column");
  if (given.parties < 1) refuse("num_parties", "at least 1");
  check_shape("queries", queries, {directions, dialogues, steps, g});
  for (int64_t way = 0; way < directions; ++way) {
    const Tensor* own = given.weights.data() + way * share;
    for (int64_t index = 0; index < share; ++index) {
      check_device("weights", own[index], queries);
      if (own[index].scalar_type() != given.weights[0].scalar_type()) refuse("weights", "one dtype");
    }
    check_shape("weights", own[kGq], {3 * g, p}), check_shape("weights", own[kGh], {3 * g, g});
    check_shape("weights", own[kPc], {3 * p, g}), check_shape("weights", own[kPq], {3 * p, p});
    check_shape("weights", own[kEq], {3 * e, p}), check_shape("weights", own[kEh], {3 * e, e});
    check_shape("weights", own[kBgh], {3 * g}), check_shape("weights", own[kBph], {3 * p});
    check_shape("weights", own[kBei], {3 * e}), check_shape("weights", own[kBeh], {3 * e});
    if (share == kLs) continue;
    check_shape("weights", own[kLs], {3 * p, p}), check_shape("weights", own[kLh], {3 * p, p});
    check_shape("weights", own[kBlh], {3 * p});
  }
  check_kind("speakers", given.speakers, queries, ScalarType::Long, "int64");
  check_shape("speakers", given.speakers, {dialogues, steps});
  check_kind("lengths", given.lengths, queries, ScalarType::Long, "int64");
  check_shape("lengths", given.lengths, {dialogues});
  if (given.keep_mask) {
    check_kind("keep_mask", *given.keep_mask, queries, ScalarType::Bool, "bool");
    const int64_t width = g + p + e + (share == kLs ? 0 : given.parties * p);
    check_shape("keep_mask", *given.keep_mask, {directions, dialogues, steps, width});
  }
  int64_t past = 0;
  if (given.history) {
    past = given.history->dim() == 3 ? given.history->size(1) : 0;
    check_like("history", *given.history, queries, {dialogues, past, g});
    if (directions != 1 || !given.history_lengths) refuse("history", "one direction and history_lengths");
    check_kind("history_lengths", *given.history_lengths, queries, ScalarType::Long, "int64");
    check_shape("history_lengths", *given.history_lengths, {dialogues});
  }
  const int64_t cells = 2 * std::max<int64_t>(dialogues, 1) * (steps + past + 1) * given.parties;
  if (std::max({cells, 12 * g, 12 * p * given.parties, 12 * e}) > std::numeric_limits<int32_t>::max())
    refuse("inputs", "fewer than 2^31 cells");
  ScanSizes sizes{};
  sizes.directions = directions, sizes.dialogues = dialogues, sizes.steps = steps, sizes.past = past;
  sizes.parties = given.parties, sizes.g = g, sizes.p = p, sizes.e = e, sizes.listener = share == kWeights;
  return sizes;
}

// Runs with values of the type of the weights and of that of everything else: bfloat16 weights go with float32.
template <typename Run>
auto with_scan_types(const Tensor& weight, const Tensor& like, const Run& run) {
  const ScalarType narrow = weight.scalar_type(), wide = like.scalar_type();
  if (narrow == ScalarType::Double && wide == narrow) return run(double(), double());
  if (narrow == ScalarType::BFloat16 && wide == ScalarType::Float) return run(device::Bfloat16{}, float());
  if (narrow != ScalarType::Float || wide != narrow)
    refuse("weights", "float64 or float32 as the other tensors, or bfloat16 where these are float32");
  return run(float(), float());
}

// The plan for the device at hand.
inline int64_t plan_scan(device::ScanSizes& sizes, int64_t (*bytes_of)(const device::ScanSizes&)) {
  int index = 0, processors = 0, bytes = 0, together = 0;
  check_cuda(cudaGetDevice(&index));
  check_cuda(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, index));
  check_cuda(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, index));
  check_cuda(cudaDeviceGetAttribute(&together, cudaDevAttrCooperativeLaunch, index));
  if (!together || !device::plan(sizes, processors, bytes, bytes_of))
    refuse("inputs", "a device whose blocks hold the states of a dialogue and run together");
  return bytes_of(sizes);
}

// Memory of the device, and what it is asked for as.
template <typename T>
T* scratch(std::vector<Tensor>& held, const Tensor& like, int64_t count, bool zero = false) {
  const std::vector<int64_t> shape{static_cast<int64_t>((count * sizeof(T) + 7) / 8)};
  held.push_back(zero ? torch::stable::new_zeros(like, shape, ScalarType::Long)
                      : torch::stable::new_empty(like, shape, ScalarType::Long));
  return static_cast<T*>(held.back().data_ptr());
}

static __global__ void order_cells(const device::OrderArguments arguments, int64_t count) {
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x)
    device::put_in_order(arguments, i);
}

inline int32_t* order_scan(
    std::vector<Tensor>& held, const device::ScanSizes& sizes, const ScanArguments& given, Stream stream) {
  const Rows<int64_t> speakers(given.speakers), lengths(given.lengths), known(given.history_lengths);
  int32_t* order = scratch<int32_t>(held, given.queries, device::ScanOrder(sizes, nullptr).size);
  const device::OrderArguments arguments{sizes, speakers.data, lengths.data, known.data, order};
  for (const Rows<int64_t>* rows : {&speakers, &lengths, &known})
    if (*rows) held.push_back(*rows->held);
  const int64_t count = std::max<int64_t>(sizes.dialogues, sizes.directions * sizes.rows());
  launch(order_cells, dim3(std::min<int64_t>((count + kThreads - 1) / kThreads, 1024)), kThreads, 0, stream, arguments, count);
  return order;
}

// The weights in contiguous form, kept alive in `held`.
template <typename W>
void point_at(const W** to, std::vector<Tensor>& held, const std::vector<Tensor>& weights) {
  for (const Tensor& weight : weights) {
    held.push_back(torch::stable::contiguous(weight));
    *to++ = static_cast<const W*>(held.back().data_ptr());
  }
}

}  // namespace mm_emotion
