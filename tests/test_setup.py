"""The build says in one line why there will be no native extension, and goes on without it."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("variables", "line"),
    [({"MM_EMOTION_BUILD_OPS": "0"}, "MM_EMOTION_BUILD_OPS=0"), ({"CXX": "no-such-compiler"}, "no C++ compiler")],
)
def test_a_build_without_ops_says_why(variables, line):
    run = subprocess.run(
        [sys.executable, "setup.py", "--version"],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert f"building without native ops: {line}" in run.stdout


@pytest.fixture
def script(monkeypatch):
    for name in ("MM_EMOTION_BUILD_CUDA", "MM_EMOTION_CUDA_ARCHS", "TORCH_CUDA_ARCH_LIST", "CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(name, raising=False)
    spec = importlib.util.spec_from_file_location("build_script", ROOT / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("variables", "names"),
    [
        ({}, ["sm_80", "sm_90a", "compute_90"]),
        ({"TORCH_CUDA_ARCH_LIST": "8.0;8.6+PTX"}, ["sm_80", "sm_86", "compute_86"]),
        ({"TORCH_CUDA_ARCH_LIST": "8.0", "MM_EMOTION_CUDA_ARCHS": "9.0a"}, ["sm_90a"]),
        ({"MM_EMOTION_CUDA_ARCHS": "10.0 12.0"}, ["sm_100", "sm_120"]),
    ],
)
def test_architectures(script, monkeypatch, variables, names):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert script.cuda_architectures() == names


def test_a_wrong_architecture_is_named(script, monkeypatch):
    monkeypatch.setenv("MM_EMOTION_CUDA_ARCHS", "8.0 Hopper")
    with pytest.raises(SystemExit, match=r"'Hopper': expected one like 8\.0"):
        script.cuda_architectures()


def test_cuda_kernels_need_a_torch_with_cuda_or_a_wish(script, tmp_path, monkeypatch, capsys):
    (tmp_path / "bin").mkdir()
    nvcc = tmp_path / "bin" / "nvcc"
    nvcc.touch(mode=0o755)
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    monkeypatch.setattr(script, "find_ninja", lambda: "ninja")
    monkeypatch.setattr(torch.version, "cuda", None)
    assert script.find_nvcc() is None
    monkeypatch.setenv("MM_EMOTION_BUILD_CUDA", "1")
    assert script.find_nvcc() == str(nvcc)
    monkeypatch.delenv("MM_EMOTION_BUILD_CUDA")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert script.find_nvcc() == str(nvcc)
    monkeypatch.setenv("MM_EMOTION_BUILD_CUDA", "0")
    assert script.find_nvcc() is None
    assert capsys.readouterr().out == ""


def test_a_missing_cuda_compiler_is_a_line_or_an_error_where_it_was_asked_for(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert script.find_nvcc() is None
    assert "building without CUDA kernels: nvcc was not found" in capsys.readouterr().out
    monkeypatch.setenv("MM_EMOTION_BUILD_CUDA", "1")
    with pytest.raises(SystemExit, match="MM_EMOTION_BUILD_CUDA=1, but nvcc was not found"):
        script.find_nvcc()
