"""Contenders recorded once as a CUDA graph, so that launching their kernels costs nothing."""

import torch
from timing import Contender


def graphed(run: Contender) -> Contender:
    """`run`, forward and backward, replayed; raises RuntimeError where it cannot be recorded."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = run()

    def replay():
        graph.replay()
        return results

    return replay


def add_graphed(contenders: dict[str, Contender], left_out: dict[str, str], names: list[str]) -> None:
    """Join a graphed twin of each named contender, or say why there is none."""
    for name in names:
        try:
            contenders[f"{name}, graphed"] = graphed(contenders[name])
        except RuntimeError as error:
            left_out[f"{name}, graphed"] = str(error).splitlines()[0]
