"""Gradients of a scan under DistributedDataParallel, each process with its own dialogues; started by torchrun."""

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import distributed, nn

from mm_emotion.ops.dialogue_rnn_scan import dialogue_rnn_scan


class Scan(nn.Module):
    """Sum of the emotion states, by weights that the processes share."""

    def __init__(self, weights: list[torch.Tensor]):
        super().__init__()
        self.weights = nn.ParameterList(weights)

    def forward(self, inputs, queries, speakers, lengths):
        output = dialogue_rnn_scan(inputs, queries, speakers, lengths, list(self.weights), num_parties=2)
        return output.emotion_states.square().sum()


folder = Path(sys.argv[1])
given = load_file(folder / "given.safetensors")
distributed.init_process_group("gloo")
rank, count = distributed.get_rank(), distributed.get_world_size()
model = nn.parallel.DistributedDataParallel(Scan([given[f"{index:02}"] for index in range(20)]))
part = slice(rank, None, count)
model(given["inputs"][:, part], given["queries"][:, part], given["speakers"][part], given["lengths"][part]).backward()
if rank == 0:
    found = {f"{index:02}": weight.grad * count for index, weight in enumerate(model.module.weights)}
    save_file(found, folder / "found.safetensors")
# Neither may leave while the other, or a model, still holds the group.
distributed.barrier()
del model
distributed.destroy_process_group()
