"""The fusions in a model that two processes train."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

SCRIPT = Path(__file__).with_name("two_processes.py")


def test_two_processes_share_gradients_as_one_computes_them(tmp_path):
    torch.manual_seed(0)
    given = {"x0": torch.randn(6, 4), "x1": torch.randn(6, 3), "x2": torch.randn(6, 2), "d_out": torch.randn(6, 5)}
    given |= {"weight": torch.randn(5, 4, 3, 10), "bias": torch.randn(10), "weights": torch.rand(2)}
    save_file(given, tmp_path / "given.safetensors")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(SCRIPT), str(tmp_path)], env=environment, check=True, timeout=300)
    found = load_file(tmp_path / "found.safetensors")

    specification = importlib.util.spec_from_file_location("two_processes_of_fusions", SCRIPT)
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    model = script.Fusions(*(given[name] for name in ("weight", "bias", "weights")))
    (model(given["x0"], given["x1"], given["x2"]) * given["d_out"]).sum().backward()
    assert found.keys() == dict(model.named_parameters()).keys()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(2 * found[name], parameter.grad)  # processes average
