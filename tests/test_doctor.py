"""The doctor describes a sick installation instead of falling ill with it."""

from importlib.metadata import PackageNotFoundError, version

import pytest

from mm_emotion import doctor
from mm_emotion.__main__ import main


@pytest.fixture(autouse=True)
def no_data(monkeypatch):
    monkeypatch.delenv("MM_EMOTION_DATA", raising=False)
    monkeypatch.delenv("MM_EMOTION_OPS", raising=False)


def line_of(lines, start):
    (found,) = [line for line in lines if line.startswith(start)]
    return found


def test_every_required_library_is_listed():
    lines, healthy = doctor.diagnose()
    assert healthy
    for name in ("torch", "pyyaml", "soundfile", "transformers"):
        assert f"{name} {version(name)}" in lines


def test_a_missing_library_is_a_line_and_a_status(monkeypatch, capsys):
    def look_up(name):
        if name == "soundfile":
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(doctor, "version", look_up)
    assert main(["doctor"]) == 1
    assert "soundfile MISSING: pip install soundfile\n" in capsys.readouterr().out


def test_a_broken_extension_is_a_line_and_a_status(tmp_path, monkeypatch, capsys):
    broken = tmp_path / "_ops.abi3.so"
    broken.write_bytes(b"not a library")
    monkeypatch.setattr(doctor, "LIBRARY", broken)
    assert main(["doctor"]) == 1
    captured = capsys.readouterr()
    assert f"ops: native extension BROKEN: {broken} cannot be loaded" in captured.out
    assert "C++ compiler" in captured.out  # the rest is still reported
    monkeypatch.setenv("MM_EMOTION_OPS", "reference")
    assert main(["doctor"]) == 0
    assert "MM_EMOTION_OPS=reference" in capsys.readouterr().out


def test_a_broken_build_record_is_a_line_and_a_status(monkeypatch):
    def refuse():
        raise ImportError("undefined symbol: build_info")

    monkeypatch.setattr(doctor, "load", lambda library: frozenset({"cpu"}))
    monkeypatch.setattr(doctor, "build_info", refuse)
    lines, healthy = doctor.diagnose()
    assert not healthy
    assert "undefined symbol" in line_of(lines, "ops: ")


def test_a_native_build_names_its_compiler(monkeypatch):
    monkeypatch.setattr(doctor, "load", lambda library: frozenset({"cpu"}))
    monkeypatch.setattr(doctor, "build_info", lambda: {"compiler": "cc 1", "instruction_sets": ["avx2", "baseline"]})
    lines, healthy = doctor.diagnose()
    assert healthy
    assert line_of(lines, "ops: ") == "ops: native kernels for cpu"
    assert line_of(lines, "native build") == "native build: compiler cc 1, avx2, baseline"


@pytest.mark.parametrize(
    ("cuda", "file", "wanted", "line"),
    [
        ("13.0", True, "", "built for sm_80, compute_90, off: not yet run on a device"),
        ("13.0", True, "1", "built for sm_80, compute_90, on (MM_EMOTION_CUDA=1)"),
        (
            "13.0",
            False,
            "1",
            "not built (nvcc was missing or failed); CUDA tensors take the fast path in PyTorch",
        ),
        (None, True, "1", "built for sm_80, compute_90, but this torch has no CUDA"),
        (None, False, "", None),
    ],
)
def test_cuda_kernels_have_one_line(tmp_path, monkeypatch, cuda, file, wanted, line):
    library = tmp_path / "_ops_cuda.abi3.so"
    if file:
        library.touch()
    info = {"compiler": "cc 1", "instruction_sets": ["baseline"], "cuda_architectures": ["sm_80", "compute_90"]}
    monkeypatch.setattr(doctor, "CUDA_LIBRARY", library)
    monkeypatch.setattr(doctor, "load", lambda library: frozenset({"cpu"}))
    monkeypatch.setattr(doctor, "load_cuda", lambda library: frozenset({"cuda"} if wanted and cuda and file else ()))
    monkeypatch.setattr(doctor, "build_info", lambda: info)
    monkeypatch.setattr(doctor.torch.version, "cuda", cuda)
    lines = [found for found in doctor.diagnose()[0] if found.startswith("CUDA kernels: ")]
    assert len(lines) == (line is not None)
    assert line is None or lines[0].startswith(f"CUDA kernels: {line}")


def test_corpora_that_open_are_told_from_other_folders(tmp_path, monkeypatch):
    for file in (
        "mosi/utterances.jsonl",
        "meld/train_sent_emo.csv",
        "iemocap/four_way/README.md",
        "iemocap/four_way/data/corpus-1.parquet",
        "semaine/utterances.jsonl",  # no table of this corpus is known
        "sewa/data/corpus.parquet",  # no README.md says what it is
        "thesis/utterances.jsonl",
        "cmu_mosei/notes.txt",
    ):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    monkeypatch.setenv("MM_EMOTION_DATA", str(tmp_path))
    lines, _ = doctor.diagnose()
    assert line_of(lines, "MM_EMOTION_DATA") == f"MM_EMOTION_DATA={tmp_path}: cmu_mosi, iemocap, meld"
    assert line_of(lines, "other folders there") == "other folders there: cmu_mosei, semaine, sewa, thesis"


def test_a_folder_without_corpora_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("MM_EMOTION_DATA", str(tmp_path))
    assert line_of(doctor.diagnose()[0], "MM_EMOTION_DATA").endswith(": no corpus that can be opened")


def test_what_opens_by_name_is_what_the_doctor_lists(prepared, tmp_path, monkeypatch):
    from mm_emotion.data.corpus import open_corpus

    (tmp_path / "iemocap").mkdir()
    (tmp_path / "iemocap" / "six_way").symlink_to(prepared)
    monkeypatch.setenv("MM_EMOTION_DATA", str(tmp_path))
    assert line_of(doctor.diagnose()[0], "MM_EMOTION_DATA").endswith(": iemocap")
    assert len(open_corpus("iemocap", "six_way")) > 0
