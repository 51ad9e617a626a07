"""Gradients of both fusions under DistributedDataParallel, each process holding its part of the rows."""

import sys
from pathlib import Path

import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mm_emotion.ops.product_fusion import product_fusion
from mm_emotion.ops.tensor_fusion import tensor_fusion_linear


class Fusions(nn.Module):
    """Three posteriors by tensor fusion, then their product."""

    def __init__(self, weight, bias, weights):
        super().__init__()
        self.weight, self.bias, self.weights = (nn.Parameter(tensor) for tensor in (weight, bias, weights))

    def forward(self, *xs):
        fused = tensor_fusion_linear(list(xs), self.weight, self.bias)  # (B, M*C)
        return product_fusion(fused.unflatten(1, (len(self.weights), -1)).log_softmax(-1), self.weights)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    given = load_file(folder / "given.safetensors")
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    model = DistributedDataParallel(Fusions(*(given[name] for name in ("weight", "bias", "weights"))))
    parts = [given[name].chunk(dist.get_world_size())[rank] for name in ("x0", "x1", "x2", "d_out")]
    (model(*parts[:3]) * parts[3]).sum().backward()
    if rank == 0:
        found = {name.removeprefix("module."): parameter.grad for name, parameter in model.named_parameters()}
        save_file(found, folder / "found.safetensors")
    # Neither may leave while the other, or a model, still holds the group.
    dist.barrier()
    del model
    dist.destroy_process_group()
