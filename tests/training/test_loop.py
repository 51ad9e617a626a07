"""The loop: seeded order, exact resume after a kill, one and two processes, selection without the test part."""

import inspect
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from mm_emotion.data.collator import EmotionCollator
from mm_emotion.data.corpus import DialogueDataset
from mm_emotion.errors import CheckpointError, TrainingError
from mm_emotion.training import loop, run_state
from mm_emotion.training.loop import cropped, epoch_order, train
from mm_emotion.training.recipe import parse_recipe
from mm_emotion.training.stages import build_model
from mm_emotion.training.weights import load_best

TEXT = """
corpus: {name: iemocap, labels: six_way, split: session5_test}
model:
  {model_type: dialogue_rnn, modality_dims: {text: 8}, global_size: 6, party_size: 6, emotion_size: 6, hidden_size: 6,
   dropout: 0.2, emotion_dropout: 0.2, recurrent_dropout: 0.1, bidirectional: true, use_attention: true}
training: {epochs: 3, batch_size: 4, learning_rate: 1e-2, gradient_clip: 1.0}
"""
RECIPE = parse_recipe(TEXT, "test")


@pytest.fixture
def parts(corpus):
    dataset = DialogueDataset(corpus, unit="dialogue", columns=["text"])
    validation = DialogueDataset(corpus.select(range(12)), unit="dialogue", columns=["text"])
    return dataset, validation


def run(folder: Path, parts, *, training=RECIPE.training, collator=None, state_seconds=1e9, seed=3):
    torch.manual_seed(seed)
    model = build_model(RECIPE)
    progress = train(
        model, parts[0], {"validation": parts[1]}, training,
        seed=seed, folder=folder, accelerator=Accelerator(cpu=True), collator=collator or EmotionCollator(2),
        state_seconds=state_seconds, progress_bar=False, identity="test",
    )  # fmt: skip
    return model, progress


def weights(model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a, b) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a) and a.keys() == b.keys()


class Interrupted(Exception):
    pass


class FailingCollator(EmotionCollator):
    """Stops the run at the given call, as a kill between two steps does."""

    def __init__(self, calls: int):
        super().__init__(2)
        self.left = calls

    def __call__(self, dialogues):
        self.left -= 1
        if self.left < 0:
            raise Interrupted
        return super().__call__(dialogues)


def test_the_loss_falls_and_the_best_epoch_is_kept(tmp_path, parts):
    model, progress = run(tmp_path, parts, training=replace(RECIPE.training, epochs=8))
    losses = [row["train_loss"] for row in progress.history]
    assert losses[-1] < losses[0]
    best = min(progress.history, key=lambda row: row["validation_loss"])
    assert progress.best["validation"] == {"epoch": best["epoch"], "value": best["validation_loss"]}
    last = weights(model)
    load_best(model, tmp_path, "validation")
    assert same(weights(model), load_file(tmp_path / "best_validation.safetensors"))
    assert same(weights(model), last) == (best["epoch"] == 8)


@pytest.mark.parametrize(
    ("calls", "average_decay"), [(1, None), (3, None), (5, None), (6, None), (9, None), (11, None), (3, 0.9), (9, 0.9)]
)
def test_an_interrupted_run_ends_with_the_same_bits(tmp_path, parts, calls, average_decay):
    training = replace(RECIPE.training, average_decay=average_decay, crop=0.5)
    whole, _ = run(tmp_path / "whole", parts, training=training)
    with pytest.raises(Interrupted):
        run(tmp_path / "cut", parts, training=training, collator=FailingCollator(calls), state_seconds=0)
    resumed, progress = run(tmp_path / "cut", parts, training=training, state_seconds=0)
    assert same(weights(whole), weights(resumed))
    assert progress.epoch == 3
    for name in ("best_validation.safetensors",):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()


def test_a_run_killed_by_the_system_ends_with_the_same_bits(tmp_path, parts):
    run(tmp_path / "whole", parts, training=replace(RECIPE.training, epochs=40))
    script = Path(__file__).with_name("killed_run.py")
    command = [sys.executable, str(script), str(tmp_path / "cut")]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    for _ in range(2):
        process = subprocess.Popen(command, env=environment)
        state = tmp_path / "cut" / loop.STATE_FILE
        before = state.stat().st_mtime_ns if state.exists() else 0
        deadline = time.monotonic() + 120
        while (not state.exists() or state.stat().st_mtime_ns == before) and process.poll() is None:
            assert time.monotonic() < deadline, "the run wrote no state"
            time.sleep(0.01)
        time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, env=environment, check=True)
    finished = load_file(tmp_path / "cut" / loop.STATE_FILE)
    expected = load_file(tmp_path / "whole" / loop.STATE_FILE)
    assert same(expected, finished)


def test_a_finished_run_is_not_trained_again(tmp_path, parts):
    run(tmp_path, parts)
    model, progress = run(tmp_path, parts, collator=FailingCollator(0))
    assert progress.epoch == 3
    assert same(
        weights(model), {k[6:]: v for k, v in load_file(tmp_path / loop.STATE_FILE).items() if k[:6] == "model."}
    )


def test_a_state_of_another_run_is_refused(tmp_path, parts):
    run(tmp_path, parts)
    with pytest.raises(CheckpointError, match="another --out"):
        run(tmp_path, parts, training=replace(RECIPE.training, learning_rate=0.5))
    with pytest.raises(CheckpointError, match="another --out"):
        run(tmp_path, parts, seed=4)


def test_a_run_is_not_shortened_after_the_fact(tmp_path, parts):
    run(tmp_path, parts)
    with pytest.raises(CheckpointError, match="at most 2 epochs"):
        run(tmp_path, parts, training=replace(RECIPE.training, epochs=2))
    _, progress = run(tmp_path, parts, training=replace(RECIPE.training, epochs=4))
    assert progress.epoch == 4


def test_a_truncated_state_is_a_typed_error(tmp_path, parts):
    run(tmp_path, parts)
    path = tmp_path / loop.STATE_FILE
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="complete safetensors file"):
        run(tmp_path, parts)


def test_a_loss_that_is_not_finite_stops_the_run_before_it_is_saved(tmp_path, parts):
    with pytest.raises(TrainingError, match="learning_rate"):
        run(tmp_path, parts, training=replace(RECIPE.training, learning_rate=1e30, optimizer="sgd", gradient_clip=None))
    assert not (tmp_path / loop.STATE_FILE).exists()


def test_early_stopping_counts_epochs_without_gain(tmp_path, parts):
    training = replace(RECIPE.training, epochs=200, patience=2, learning_rate=0.05)
    _, progress = run(tmp_path, parts, training=training)
    assert progress.epoch < 200
    assert progress.epoch - progress.best["validation"]["epoch"] == 2


def test_the_order_depends_on_seed_and_epoch_alone():
    orders = {(seed, epoch): epoch_order(50, seed, epoch).tolist() for seed in (0, 1) for epoch in (0, 1)}
    assert len({tuple(order) for order in orders.values()}) == 4
    assert sorted(orders[0, 0]) == list(range(50))
    assert np.array_equal(epoch_order(50, 1, 1), orders[1, 1])


def test_a_cropped_dialogue_is_a_stretch_of_it_drawn_from_its_numbers_alone():
    dialogue = [{"position": index} for index in range(20)]
    assert cropped(dialogue, None, 0, 0, 0) is dialogue
    drawn = [cropped(dialogue, 0.3, 0, 0, unit) for unit in range(300)]
    assert all(part == dialogue[part[0]["position"] :][: len(part)] for part in drawn)
    assert min(map(len, drawn)) >= 6
    assert 120 < sum(len(part) == 20 for part in drawn) < 190
    assert drawn[7] == cropped(dialogue, 0.3, 0, 0, 7)
    assert cropped(dialogue[:1], 0.3, 0, 0, 0) == dialogue[:1]


def test_averaged_weights_are_what_is_kept(tmp_path, parts):
    training = replace(RECIPE.training, epochs=1, average_decay=0.9)
    model, _ = run(tmp_path, parts, training=training)
    steps = []
    torch.manual_seed(3)
    again = build_model(RECIPE)
    update = run_state.AveragedModel.update_parameters
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            run_state.AveragedModel, "update_parameters", lambda self, m: (steps.append(weights(m)), update(self, m))
        )
        train(
            again, parts[0], {"validation": parts[1]}, training, seed=3, folder=tmp_path / "again",
            accelerator=Accelerator(cpu=True), collator=EmotionCollator(2), progress_bar=False,
        )  # fmt: skip
    expected = steps[0]
    for step in steps[1:]:
        expected = {name: 0.9 * expected[name] + 0.1 * step[name] for name in expected}
    kept = load_file(tmp_path / "best_validation.safetensors")
    for name, value in expected.items():
        torch.testing.assert_close(kept[name], value)
    assert not same(kept, weights(model))


def test_the_loop_is_handed_parts_and_has_no_way_to_the_corpus():
    names = set(inspect.signature(train).parameters)
    assert names == {
        "model", "train_set", "selection_sets", "training", "seed", "folder", "accelerator", "collator",
        "identity", "state_seconds", "description", "progress_bar",
    }  # fmt: skip


@pytest.fixture
def fresh_accelerator():
    """Accelerate fixes the precision once a process; these tests try several."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("mixed_precision", ["no", "bf16"])
def test_mixed_precision_trains(tmp_path, parts, mixed_precision, fresh_accelerator):
    model = build_model(RECIPE)
    progress = train(
        model, parts[0], {"validation": parts[1]}, RECIPE.training, seed=0, folder=tmp_path,
        accelerator=Accelerator(cpu=True, mixed_precision=mixed_precision), collator=EmotionCollator(2),
        progress_bar=False,
    )  # fmt: skip
    assert np.isfinite(progress.history[-1]["train_loss"])


def test_two_processes_train_and_evaluate_as_one_does(tmp_path):
    script = Path(__file__).with_name("two_processes.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for processes in (1, 2):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
        subprocess.run(
            [*command, str(script), str(tmp_path / str(processes))], env=environment, check=True, timeout=300
        )
    one, two = (load_file(tmp_path / name / "result.safetensors") for name in ("1", "2"))
    assert torch.allclose(one.pop("evaluated"), two.pop("evaluated"), rtol=0, atol=1e-6)
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.allclose(value, two[name], rtol=0, atol=1e-5), name


def test_the_optimiser_takes_the_constants_of_the_recipe(tmp_path, parts, monkeypatch):
    made = []
    adadelta = torch.optim.Adadelta
    monkeypatch.setitem(
        loop.OPTIMIZERS, "adadelta", lambda *args, **options: made.append(options) or adadelta(*args, **options)
    )
    options = {"rho": 0.95, "eps": 1e-7}
    run(tmp_path, parts, training=replace(RECIPE.training, epochs=1, optimizer="adadelta", optimizer_options=options))
    assert made[0]["rho"] == 0.95 and made[0]["eps"] == 1e-7
