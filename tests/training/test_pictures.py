"""`mm-emotion figures` draws everything a run or a results file has, and writes the numbers down."""

import csv
import json

import numpy as np
import pytest

from mm_emotion.__main__ import main
from mm_emotion.errors import CorpusError
from mm_emotion.training.analysis import modality_subsets, project


def test_a_run_has_all_its_figures(system, prepared, tmp_path, capsys):
    assert main(["figures", str(system.parent), "--data", str(prepared), "--out", str(tmp_path)]) == 0
    names = {path.name for path in tmp_path.iterdir()}
    pictures = {"confusion_matrix", "tsne", "calibration", "modality_ablation", "learning_curves"}
    assert names == {f"{name}{end}.png" for name in pictures for end in ("", "_dark")} | {"tsne.csv", "figures.json"}
    numbers = json.loads((tmp_path / "figures.json").read_text())
    assert -1 <= numbers["silhouette"] <= 1
    assert 0 <= numbers["neighbour_purity"] <= 1
    assert set(numbers["modality_ablation"]) == {"text + audio", "text", "audio"}
    assert numbers["epochs"] == 2
    with (tmp_path / "tsne.csv").open(newline="") as file:
        assert {row["label"] for row in csv.DictReader(file)} <= {
            "happy",
            "sad",
            "neutral",
            "angry",
            "excited",
            "frustrated",
        }
    assert "modality ablation: text + audio 0." in capsys.readouterr().out


def test_the_ablation_of_nothing_is_the_result_itself(system, prepared, tmp_path):
    assert main(["figures", str(system), "--data", str(prepared), "--out", str(tmp_path)]) == 0
    numbers = json.loads((tmp_path / "figures.json").read_text())
    with (system / "results.csv").open(newline="") as file:
        found = [row for row in csv.DictReader(file) if (row["fold"], row["metric"]) == ("test", "weighted_f1")]
    strict = next(float(row["value"]) for row in found if "leaks" not in row["selected_on"])
    assert numbers["modality_ablation"]["text + audio"] == pytest.approx(strict, abs=1e-6)


def test_a_results_file_has_spread_and_parameters(system, tmp_path, capsys):
    assert main(["figures", str(system / "results.csv"), "--out", str(tmp_path)]) == 0
    stems = {path.name for path in tmp_path.iterdir()}
    assert stems == {
        f"{kind}_iemocap_six_way{end}.png" for kind in ("seed_spread", "parameters") for end in ("", "_dark")
    }
    assert "drew 1 systems" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["nowhere", "nowhere.csv"])
def test_what_is_not_there_is_named(name, tmp_path, capsys):
    assert main(["figures", str(tmp_path / name), "--out", str(tmp_path / "out")]) == 2
    assert name in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_classes_that_lie_apart_have_high_numbers_and_mixed_ones_low():
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], 30)
    apart = project(random.standard_normal((60, 5)) + 10 * labels[:, None], labels)
    mixed = project(random.standard_normal((60, 5)), labels)
    assert apart.silhouette > 0.7
    assert apart.purity == 1.0
    assert abs(mixed.silhouette) < 0.1
    assert 0.3 < mixed.purity < 0.7
    with pytest.raises(CorpusError, match="at least 12 labelled utterances of two classes, got 60 of 1"):
        project(random.standard_normal((60, 5)), np.zeros(60, int))


def test_subsets_of_modalities():
    assert modality_subsets(["text", "audio"]) == [("text", "audio"), ("text",), ("audio",)]
    assert len(modality_subsets(["text", "audio", "visual"])) == 7
    assert len(modality_subsets(["text", "audio", "visual", "mocap"])) == 1 + 4 + 4
