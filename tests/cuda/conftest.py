"""The CUDA programs of the scan on emulated blocks: a small library that the C++ compiler builds, called by ctypes."""

import ctypes
import os
import shutil
import subprocess
from ctypes import Structure, byref, c_bool, c_double, c_int32, c_int64, c_void_p
from pathlib import Path

import pytest
import torch

from mm_emotion.ops._dialogue_rnn_scan_native import weight_gradients

SOURCES = Path(__file__).parents[2] / "csrc"
NAMES = {torch.float32: "float32", torch.float64: "float64", torch.bfloat16: "bfloat16"}


class EmulationFault(Exception):
    """A race, a deadlock, or an access beyond what a block may touch."""


class Sizes(Structure):
    _fields_ = [
        (name, c_int32)
        for name in (
            *("directions", "dialogues", "steps", "past", "parties", "g", "p", "e", "listener"),
            *("slices", "members", "chunk", "resident"),
        )
    ]


class Memory(Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("data", c_void_p),
        ("bytes", c_int64),
        ("cell", c_int32),
        ("writable", c_int32),
    ]


class Options(Structure):
    _fields_ = [
        (name, c_int32) for name in ("seed", "switches", "skip_block", "skip_epoch", "mute_block", "mute_epoch")
    ]


class OrderArguments(Structure):
    _fields_ = [
        ("sizes", Sizes),
        *((name, c_void_p) for name in ("speakers", "lengths", "history_lengths", "order")),
    ]


class ForwardArguments(Structure):
    _fields_ = [
        ("sizes", Sizes),
        ("save", c_int32),
        ("scale", c_double),
        ("input_stride", c_int64 * 3),
        *((name, c_void_p) for name in ("inputs", "queries", "keep", "history", "start_party", "start_emotion")),
        ("zeros", c_void_p),
        ("weights", c_void_p * 26),
        *((name, c_void_p) for name in ("order", "emotion", "global_", "party", "attention", "trace", "scores")),
        *((name, c_void_p) for name in ("packed", "flags")),
        ("traces", c_void_p * (2 * 14)),  # filled in by the program, as is the end of BackwardArguments
    ]


class BackwardArguments(Structure):
    _fields_ = [
        ("sizes", Sizes),
        ("scale", c_double),
        *((name, c_void_p) for name in ("d_emotion", "d_global", "d_party", "queries", "keep", "history", "global_")),
        ("attention", c_void_p),
        ("weights", c_void_p * 26),
        *((name, c_void_p) for name in ("order", "trace", "d_inputs", "d_queries", "d_gates", "d_scores")),
        *((name, c_void_p) for name in ("d_contexts", "party_carry", "emotion_carry", "direct", "packed", "flags")),
        ("traces", c_void_p * (2 * 14)),
        ("gates", c_void_p * (2 * 6)),
    ]


class Emulation:
    """The device programs over tensors on the CPU, every result and scratch of which begins as NaN."""

    Fault = EmulationFault

    def __init__(self, library):
        self.library = library
        for name in ("trace_size", "gates_size", "order_size", *(f"packed_{kind}" for kind in NAMES.values())):
            getattr(library, name).restype = c_int64
        for kind in NAMES.values():
            getattr(library, f"shared_{kind}").restype = c_int64
            getattr(library, f"plan_{kind}").restype = c_bool
            getattr(library, f"forward_{kind}").restype = getattr(library, f"backward_{kind}").restype = c_bool
        for name in ("gru_of", "gru_backward_of"):
            getattr(library, name).restype = c_double
        library.widen.restype = ctypes.c_float

    def sizes(self, arguments, slices, members, chunk, resident):
        weights, state = arguments["weights"], arguments.get("state")
        directions, dialogues, steps, _ = arguments["inputs"].shape
        g, p, e = (weights[index].shape[1] for index in (1, 4, 8))
        listener = len(weights) == 13 * directions
        past = 0 if state is None else state.history.shape[1]
        parties = arguments["num_parties"]
        return Sizes(directions, dialogues, steps, past, parties, g, p, e, listener, slices, members, chunk, resident)

    def plan(self, kind, backward, blocks, shared, given):
        """The plan for a card, and the shared memory that a block of it takes; None where nothing fits."""
        sizes = Sizes(*given)
        if not getattr(self.library, f"plan_{kind}")(byref(sizes), backward, blocks, c_int64(shared)):
            return None
        return sizes, getattr(self.library, f"shared_{kind}")(byref(sizes), backward)

    def order(self, sizes, speakers, lengths, history_lengths):
        order = torch.full((self.library.order_size(byref(sizes)),), -7, dtype=torch.int32)
        arguments = OrderArguments(sizes, _at(speakers), _at(lengths), _at(history_lengths), _at(order))
        for index in range(max(sizes.dialogues, sizes.directions * sizes.dialogues * sizes.steps)):
            self.library.put_in_order_of(byref(arguments), c_int64(index))
        return order

    def forward(self, arguments, save=True, layout=(1, 1, 8, 1), options=None):
        """(emotion_states, global_states, party_states, attentions, reserve)"""
        given = [tensor.detach() for tensor in (arguments["inputs"], arguments["queries"])]
        weights = [weight.detach() for weight in arguments["weights"]]
        state, keep = arguments.get("state"), arguments.get("keep_mask")
        history, known, start_party, start_emotion = (None,) * 4 if state is None else state
        s = self.sizes(arguments, *layout)
        fresh = _fresh(given[0].dtype)
        outputs = [
            fresh(s.dialogues, s.steps, s.directions * s.e),
            fresh(s.directions, s.dialogues, s.steps, s.g),
            fresh(s.directions, s.dialogues, s.parties, s.p),
            fresh(s.directions, s.dialogues, s.steps, s.past + s.steps),
            fresh(s.directions, self.library.trace_size(byref(s), save)),
        ]
        kind = NAMES[weights[0].dtype]
        order = self.order(s, arguments["speakers"], arguments["lengths"], known)
        scores = fresh(3, s.directions, s.dialogues, s.past + s.steps)
        packed, flags = self.packed(s, weights[0].dtype, False)
        zeros = torch.zeros(max(s.g, s.p, s.e), dtype=given[0].dtype)
        inputs = {"inputs": given[0], "queries": given[1], "history": history, "start_party": start_party}
        inputs |= {"start_emotion": start_emotion, "zeros": zeros}
        written = dict(zip(("emotion", "global_", "party", "attention", "trace"), outputs, strict=True))
        written["scores"] = scores
        call = ForwardArguments(
            s, save, 1 / arguments.get("keep", 1.0), (c_int64 * 3)(*given[0].stride()[:3]),
            _at(given[0]), _at(given[1]), _at(keep), _at(history), _at(start_party), _at(start_emotion), _at(zeros),
            (c_void_p * 26)(*map(_at, weights)), _at(order), *map(_at, outputs), _at(scores), _at(packed), _at(flags),
        )  # fmt: skip
        self.run(f"forward_{kind}", call, inputs, written, options)
        return outputs

    def backward(self, arguments, gradients, outputs, layout=(1, 1, 8, 1), options=None):
        """Gradients of inputs, queries and weights, given those of emotion, global and party states."""
        queries, weights = arguments["queries"].detach(), [weight.detach() for weight in arguments["weights"]]
        state, keep = arguments.get("state"), arguments.get("keep_mask")
        history, known = (None, None) if state is None else state[:2]
        _, states, _, attention, trace = outputs
        s = self.sizes(arguments, *layout)
        fresh = _fresh(queries.dtype)
        d_inputs = fresh(s.dialogues, s.steps, s.directions, arguments["inputs"].shape[3])
        d_queries = fresh(*queries.shape)
        d_gates = fresh(s.directions, self.library.gates_size(byref(s)))
        scratch = [
            fresh(*attention.shape),
            fresh(*states.shape),
            fresh(s.directions, s.dialogues, s.parties, s.p),
            fresh(s.directions, s.dialogues, s.e),
            fresh(s.directions, s.dialogues, s.g),
        ]
        order = self.order(s, arguments["speakers"], arguments["lengths"], known)
        packed, flags = self.packed(s, weights[0].dtype, True)
        inputs = {"d_emotion": gradients[0], "d_global": gradients[1], "d_party": gradients[2], "queries": queries}
        inputs |= {"history": history, "states": states, "attention": attention, "trace": trace}
        written = {"d_inputs": d_inputs, "d_queries": d_queries, "d_gates": d_gates}
        names = ("d_scores", "d_contexts", "party_carry", "emotion_carry", "direct")
        written |= dict(zip(names, scratch, strict=True))
        call = BackwardArguments(
            s, 1 / arguments.get("keep", 1.0), *map(_at, gradients), _at(queries), _at(keep), _at(history), _at(states),
            _at(attention), (c_void_p * 26)(*map(_at, weights)), _at(order), _at(trace), _at(d_inputs), _at(d_queries),
            _at(d_gates), *map(_at, scratch), _at(packed), _at(flags),
        )  # fmt: skip
        self.run(f"backward_{NAMES[weights[0].dtype]}", call, inputs, written, options)
        rows = s.dialogues * s.steps
        d_weights = weight_gradients(weights, s.directions, s.parties, rows, trace, d_gates)
        return [d_inputs.movedim(2, 0), d_queries, *d_weights]

    def packed(self, s, dtype, backward):
        size = getattr(self.library, f"packed_{NAMES[dtype]}")(byref(s), backward)
        blocks = s.directions * s.slices * s.members
        return _fresh(dtype)(0 if s.resident else blocks * size), torch.zeros(blocks, dtype=torch.int32)

    def run(self, name, call, inputs, written, options):
        memories = [(key, tensor, 0) for key, tensor in inputs.items() if tensor is not None]
        memories += [(key, tensor, 1) for key, tensor in written.items()]
        table = (Memory * len(memories))(
            *(
                (key.encode(), _at(tensor), tensor.numel() * tensor.element_size(), tensor.element_size(), writable)
                for key, tensor, writable in memories
                if tensor.numel()
            )
        )
        chosen = {"seed": 0, "switches": 3, "skip_block": -1, "skip_epoch": -1, "mute_block": -1, "mute_epoch": -1}
        chosen |= options or {}
        report = ctypes.create_string_buffer(1024)
        count = sum(bool(tensor.numel()) for _, tensor, _ in memories)
        if not getattr(self.library, name)(byref(call), table, count, byref(Options(**chosen)), report, len(report)):
            raise EmulationFault(report.value.decode())


def _at(tensor):
    return None if tensor is None else tensor.data_ptr()


def _fresh(dtype):
    return lambda *shape: torch.full(shape, float("nan"), dtype=dtype)


@pytest.fixture(scope="session")
def emulation(tmp_path_factory):
    compiler = os.environ.get("CXX", "c++").split()
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"the emulator needs a C++ compiler; {compiler[0]} was not found")
    library = tmp_path_factory.mktemp("scan_emulator") / "scan_emulator.so"
    source = Path(__file__).with_name("scan_emulator.cpp")
    command = [*compiler, "-std=c++20", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([*command, "-o", str(library), str(source)], check=True)
    return Emulation(ctypes.CDLL(str(library)))
