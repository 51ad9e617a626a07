"""A run on frames: the planted delay is found, every scaling is a column, a late fusion says what its parts weigh."""

import numpy as np
import pytest
from datasets import Dataset

from mm_emotion.data.delay import advance_labels
from mm_emotion.data.splits import resolve_split
from mm_emotion.errors import CheckpointError, CorpusError, RecipeError
from mm_emotion.metrics.delay import delayed
from mm_emotion.metrics.outputs import SCALINGS
from mm_emotion.training.continuous import FILE_NAME
from mm_emotion.training.evaluation import read_results
from mm_emotion.training.recipe import parse_recipe
from mm_emotion.training.report import write_report
from mm_emotion.training.reproduction import run_seed
from mm_emotion.training.saved import evaluate_folder, predict_dialogue

LAG = 4
RECIPE = """
corpus: {name: sewa, labels: arousal, split: development_halves}
model: {model_type: linear, num_labels: 1, modality_dims: {MODALITY: 3}, estimator: ridge, complexities: [10.0]}
training: {unit: dialogue, monitor: concordance_correlation}
frames: {delays: DELAYS}
protocol: {seeds: [0]}
"""
FUSED = """
corpus: {name: sewa, labels: arousal, split: development_halves}
model: {model_type: late_fusion, num_labels: 1, rule: linear}
children: CHILDREN
training: {unit: dialogue, monitor: concordance_correlation}
frames: {delays: [0.4], smoothing: median, smoothing_width: 0.3}
protocol: {seeds: [0]}
"""


@pytest.fixture(scope="module")
def frames() -> Dataset:
    """Recordings whose arousal follows sound and, less, words, some frames later."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(12):
        name = f"rec{number:02d}"
        signal = np.stack([np.convolve(random.normal(size=60), np.ones(5) / 5, "same") for _ in range(6)], axis=1)
        labels = delayed(signal[:, 0] + 0.3 * signal[:, 3] + 0.2, [name] * 60, LAG)
        for position in range(60):
            rows.append(
                {"utterance_id": f"{name}_{position:03d}", "dialogue_id": name, "position": position, "party": 0}
                | {"speaker": name, "transcript": "", "audio_path": "", "video_path": ""}
                | {"start": position / 10, "end": position / 10 + 0.1, "split": "train" if number < 4 else "validation"}
                | {"affect": [float(labels[position])], "audio": signal[position, :3], "text": signal[position, 3:]}
            )
    return Dataset.from_list(rows)


def run(text, rows, tmp_path, **changes):
    for name, value in changes.items():
        text = text.replace(name, value)
    recipe = parse_recipe(text, "frames_recipe")
    split = resolve_split(rows, "development_halves")
    return run_seed(recipe, rows, split, seed=0, out=tmp_path / "runs", progress_bar=False)


def values(outcome, part="test"):
    return {row["metric"]: row["value"] for row in outcome.rows if row["fold"] == part}


def test_the_search_finds_the_delay_and_every_scaling_is_a_column(frames, tmp_path):
    outcome = run(RECIPE, frames, tmp_path, MODALITY="audio", DELAYS="[0.0, 0.2, 0.4, 0.6]")
    found = values(outcome)
    assert found["annotation_delay"] == pytest.approx(LAG * 0.1)
    assert any("annotation delay: 0.4 s by CCC on validation" in note for note in outcome.notes)
    curve = [values(outcome, "validation")[f"concordance_correlation/delay_{d}s"] for d in ("0", "0.2", "0.4", "0.6")]
    assert np.argmax(curve) == 2 and curve[2] > curve[0] + 0.2
    for scaling in SCALINGS:
        for pooling in ("concordance_correlation", "concordance_correlation_by_recording"):
            assert -1 <= found[f"{pooling}/{scaling}"] <= 1
    assert found["concordance_correlation"] == found["concordance_correlation/none"]
    assert "concordance_correlation/delay_0.4s" not in found


def test_without_compensation_the_same_network_does_worse(frames, tmp_path):
    late = values(run(RECIPE, frames, tmp_path / "late", MODALITY="audio", DELAYS="[0.4]"))
    none = values(run(RECIPE, frames, tmp_path / "none", MODALITY="audio", DELAYS="[0.0]"))
    assert late["concordance_correlation"] > none["concordance_correlation"] + 0.2
    in_time = advance_labels(frames, LAG)
    ideal = values(run(RECIPE, in_time, tmp_path / "ideal", MODALITY="audio", DELAYS="[0.0]"))
    assert late["concordance_correlation"] == pytest.approx(ideal["concordance_correlation"], abs=0.05)


def run_fusion(frames, tmp_path):
    """A late fusion of text and audio."""
    children = []
    for modality in ("text", "audio"):
        path = tmp_path / f"{modality}.yaml"
        path.write_text(RECIPE.replace("MODALITY", modality).replace("DELAYS", "[0.4]"))
        children.append(str(path))
    return run(FUSED, frames, tmp_path, CHILDREN=str(children))


def test_late_fusion_by_linear_regression(frames, tmp_path):
    outcome = run_fusion(frames, tmp_path)
    found = values(outcome)
    assert found["importance/audio"] + found["importance/text"] == pytest.approx(1, abs=1e-5)
    assert found["concordance_correlation"] > 0.8  # smoothed a little
    assert found["concordance_correlation_fitted_on_itself/none"] >= found["concordance_correlation"] - 0.01
    assert 0.5 < found["concordance_correlation_leave_one_recording_out/none"] <= 1
    assert "importance_fitted_on_itself/audio" in found


def evaluated(outcome, rows, part, tmp_path):
    """The values that an evaluation of the saved system writes, by metric."""
    text = write_report(evaluate_folder(outcome.model_folder, rows, part), tmp_path / "report")
    assert "| annotation_delay | 0.400 |" in text
    return {row["metric"]: float(row["value"]) for row in read_results(tmp_path / "report" / "results.csv")}


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_saved_system_is_evaluated_to_the_figures_of_its_run(frames, tmp_path, part):
    smoothed = RECIPE.replace("delays: DELAYS", "delays: [0.2, 0.4], smoothing: median, smoothing_width: 0.5")
    outcome = run(smoothed, frames, tmp_path, MODALITY="audio")
    ran = {name: value for name, value in values(outcome, part).items() if "/delay_" not in name}
    assert evaluated(outcome, frames, part, tmp_path) == pytest.approx(ran, abs=2e-6)
    assert ran["concordance_correlation/std_ratio"] != ran["concordance_correlation"] > 0.8
    # On other rows the constants of the scalings are still those of the labels that the run learned from.
    half = frames.map(lambda row: {"affect": [row["affect"][0] / 2] if row["split"] == "train" else row["affect"]})
    assert evaluated(outcome, half, part, tmp_path) == pytest.approx(ran, abs=2e-6)


def test_a_recording_is_predicted_as_it_was_judged(frames, tmp_path):
    smoothed = RECIPE.replace("delays: DELAYS", "delays: [0.4], smoothing: median, smoothing_width: 0.5")
    outcome = run(smoothed, frames, tmp_path, MODALITY="audio")
    judged = evaluate_folder(outcome.model_folder, frames, "test").prediction
    name, said = predict_dialogue(outcome.model_folder, frames, "test")
    here = judged.dialogue_ids == name
    assert 0 < here.sum() == len(said)
    np.testing.assert_allclose([row["score"] for row in said], judged.logits[here, 0], atol=1e-6)
    named, other = predict_dialogue(outcome.model_folder, frames, dialogue=frames["dialogue_id"][0])
    assert named == frames["dialogue_id"][0] and len(other) == frames["dialogue_id"][:].count(named)
    with pytest.raises(CorpusError, match="--dialogue: expected a dialogue of the corpus, got 'none'"):
        predict_dialogue(outcome.model_folder, frames, dialogue="none")


def test_a_saved_fusion_is_evaluated_to_the_figures_of_its_run(frames, tmp_path):
    outcome = run_fusion(frames, tmp_path)
    found = evaluated(outcome, frames, "test", tmp_path)
    assert found == pytest.approx(values(outcome), abs=2e-6) and "importance/audio" in found


def test_a_saved_system_of_frames_without_its_delay_is_refused(frames, tmp_path):
    outcome = run(RECIPE, frames, tmp_path, MODALITY="audio", DELAYS="[0.4]")
    path = outcome.model_folder / FILE_NAME
    for text in ("{", "[]", '{"delay": 0.4, "labels": {"low": 0}}', '{"delay": 0.4, "labels": {"mean": 0}}'):
        path.write_text(text)
        with pytest.raises(CheckpointError, match=FILE_NAME):
            evaluate_folder(outcome.model_folder, frames)
    path.unlink()
    with pytest.raises(CheckpointError, match=FILE_NAME):
        evaluate_folder(outcome.model_folder, frames)


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        ("labels: arousal", "labels: tempo", "corpus.labels"),
        ("delays: [0.4]", "delays: []", "frames.delays"),
        ("delays: [0.4]", "delays: [-1.0]", "frames.delays"),
        ("delays: [0.4]", "delays: [1.0, 1.0]", "frames.delays"),
        ("delays: [0.4]", "delays: [0.4], frame_step: 0.0", "frames.frame_step"),
        ("delays: [0.4]", "delays: [0.4], smoothing: median", "frames.smoothing_width"),
        ("delays: [0.4]", "delays: [0.4], smoothing_width: 1.0", "frames.smoothing_width"),
        ("seeds: [0]", "seeds: [0], record_test_selection: true", "record_test_selection"),
        ("name: sewa, labels: arousal", "name: cmu_mosei, labels: six_intensities", "frames"),
    ],
)
def test_settings_that_cannot_be_are_refused(before, after, field):
    text = RECIPE.replace("MODALITY", "audio").replace("DELAYS", "[0.4]")
    if "six" in after:
        text = text.replace("num_labels: 1", "num_labels: 6")
    with pytest.raises(RecipeError, match=field):
        parse_recipe(text.replace(before, after), "frames_recipe")
