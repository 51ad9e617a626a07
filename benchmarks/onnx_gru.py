"""The three GRUs of `rivals` in ONNX Runtime, forward."""

import importlib.util
from collections.abc import Callable

import torch
import torch.nn.functional as F
from rivals import ThreeGRUs
from torch import Tensor, nn


def missing() -> str | None:
    """Why ONNX Runtime does not compete, if it does not."""
    names = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    return f"{' and '.join(names)} not installed; see benchmarks/requirements.txt" if names else None


def session(module: ThreeGRUs, utterances: Tensor) -> Callable[[], tuple[Tensor]]:
    """A contender: emotion states (B, U, E) of `utterances` (B, U, D), on as many threads as PyTorch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Its threads would otherwise go on waiting in a loop while the next contender is timed.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    graph = model(module).SerializeToString()
    runner = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    x = utterances.detach().transpose(0, 1).contiguous()  # (U, B, D)
    inputs = {"x": x.numpy(), "padded": F.pad(x, (0, module.p)).numpy()}
    return lambda: (torch.from_numpy(runner.run(None, inputs)[0])[:, 0].transpose(0, 1),)


def model(module: ThreeGRUs):
    """The module as an ONNX graph from `x` (U, B, D), and `padded` (U, B, D+P), to `states` (U, 1, B, E)."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants = [], [numpy_helper.from_array(torch.tensor([1]).numpy(), "axis")]
    for index, (layer, read) in enumerate(zip(module.layers, ("padded", "both", "second"), strict=True)):
        names = [f"{name}{index}" for name in ("w", "r", "b")]
        constants += map(numpy_helper.from_array, weights(layer), names)
        written = "states" if index == 2 else f"states{index}"
        # PyTorch's GRU resets the state after the matrix product.
        size = {"hidden_size": layer.hidden_size, "linear_before_reset": 1}
        nodes.append(helper.make_node("GRU", [read, *names], [written], **size))
        if index < 2:
            nodes.append(helper.make_node("Squeeze", [written, "axis"], [("first", "second")[index]]))
        if index == 0:
            nodes.append(helper.make_node("Concat", ["x", "first"], ["both"], axis=2))
    values = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [None] * k)
        for n, k in (("x", 3), ("padded", 3), ("states", 4))
    ]
    graph = helper.make_graph(nodes, "three_grus", values[:2], values[2:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def weights(layer: nn.GRU) -> list:
    """W (1, 3H, D), R (1, 3H, H) and both biases (1, 6H) as arrays, from the gate order r, z, n to z, r, n."""
    state = layer.state_dict()
    w, r, b_w, b_r = (
        torch.cat([part.chunk(3)[gate] for gate in (1, 0, 2)])
        for part in (state[f"{name}_l0"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    )
    return [w[None].numpy(), r[None].numpy(), torch.cat([b_w, b_r])[None].numpy()]
