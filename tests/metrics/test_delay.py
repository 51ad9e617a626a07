"""A delay that was planted is found, exactly, and outputs can be brought to the time of the labels."""

import os
from pathlib import Path

import numpy as np
import pytest

from mm_emotion.errors import BatchError
from mm_emotion.metrics import concordance_correlation
from mm_emotion.metrics.delay import compensated_pairs, delay_curve, delayed, frames_of

SEWA = Path(os.environ.get("MM_EMOTION_DATA", "")) / "sewa_avec2019"


def recordings(seed=0):
    random = np.random.default_rng(seed)
    signal = [np.convolve(random.normal(size=200), np.ones(9) / 9, "same") for _ in range(3)]
    return np.concatenate(signal), np.repeat(["a", "b", "c"], 200)


def test_the_planted_delay_is_found():
    signal, names = recordings()
    labels = delayed(signal, names, 15)
    for by_recording in (False, True):
        curve = delay_curve(signal, labels, names, frame_step=0.1, by_recording=by_recording)
        assert curve.best == pytest.approx(1.5) and np.nanmax(curve.values) == pytest.approx(1)
        assert curve.seconds[[0, -1]].tolist() == [0, pytest.approx(3.0)] and len(curve.seconds) == 31
    coarse = delay_curve(signal, labels, names, frame_step=0.1, step=0.2)
    assert len(coarse.seconds) == 16 and coarse.best in (pytest.approx(1.4), pytest.approx(1.6))


def test_delayed_outputs_have_the_time_of_the_labels():
    signal, names = recordings()
    labels = delayed(signal, names, 15)
    assert concordance_correlation(delayed(signal, names, 15), labels) == pytest.approx(1)
    np.testing.assert_array_equal(delayed(np.arange(6), list("aaabbb"), 2), [0, 0, 0, 3, 3, 3])
    np.testing.assert_array_equal(delayed(np.arange(4), list("aabb"), 9), [0, 0, 2, 2])


def test_pairs_drop_the_ends_of_each_recording():
    x, y, names = compensated_pairs(np.arange(5), np.arange(5) * 10, list("aaabb"), 1)
    assert (x.tolist(), y.tolist(), names.tolist()) == ([0, 1, 3], [10, 20, 40], ["a", "a", "b"])


def test_a_delay_without_pairs_is_not_defined():
    curve = delay_curve(np.arange(4.0), np.arange(4.0), list("aabb"), frame_step=1.0)
    assert np.isnan(curve.values[2:]).all() and curve.best == 0
    assert np.isnan(delay_curve(np.zeros(2), np.full(2, np.nan), list("ab"), frame_step=1.0).best)


@pytest.mark.parametrize("arguments", [(-1, 0.1), (1, 0), (float("nan"), 0.1), (1, float("inf"))])
def test_impossible_times_are_refused(arguments):
    with pytest.raises(BatchError):
        frames_of(*arguments)


def lin(x, y):
    """Lin's coefficient from the correlation: another way to the same number."""
    return 2 * np.corrcoef(x, y)[0, 1] * x.std() * y.std() / (x.std() ** 2 + y.std() ** 2 + (x.mean() - y.mean()) ** 2)


def read(path):
    table = np.genfromtxt(path, delimiter=";", skip_header=1, usecols=(1, 2, 3, 4), dtype=np.float64)
    return table[:, 0], table[:, 1:]


@pytest.mark.corpus
@pytest.mark.skipif(not SEWA.is_dir(), reason="MM_EMOTION_DATA holds no sewa_avec2019")
def test_a_planted_shift_is_found_on_every_recording_of_sewa():
    files = sorted((SEWA / "labels_devel").glob("*.csv"))
    frames, tried = 0, 0
    for file in files:
        times, values = read(file)
        frames += len(times)
        assert np.diff(times) == pytest.approx(0.1, abs=1e-6)
        for column in values.T:
            if np.ptp(column) == 0:
                continue
            tried += 1
            names = np.repeat(file.stem, len(column))
            for planted in (0, 7, 15, 25, 30):
                curve = delay_curve(column, delayed(column, names, planted), names, frame_step=0.1)
                assert curve.best == pytest.approx(planted * 0.1), file.stem
                assert np.nanmax(curve.values) == pytest.approx(1)
    assert (len(files), frames) == (28, 40_032) and tried >= 80


@pytest.mark.corpus
@pytest.mark.skipif(not SEWA.is_dir(), reason="MM_EMOTION_DATA holds no sewa_avec2019")
def test_ccc_of_the_published_outputs_of_sewa():
    outputs = sorted((SEWA / "baseline_predictions").rglob("*.csv"))
    assert len(outputs) == 2
    for file in outputs:
        times, predicted = read(file)
        label_times, labels = read(SEWA / "labels_devel" / file.name)
        count = min(len(times), len(label_times))  # the outputs go on for 2.6 s after the last label
        np.testing.assert_allclose(times[:count], label_times[:count], atol=1e-6)
        predicted, labels = predicted[:count], labels[:count]
        for k in range(3):
            x, y = predicted[:, k], labels[:, k]
            expected = lin(x, y) if np.ptp(x) and np.ptp(y) else (0.0 if np.ptp(x) or np.ptp(y) else np.nan)
            names = np.repeat(file.stem, len(y))
            for groups in (None, names):  # one recording: both poolings agree
                assert concordance_correlation(x, y, groups=groups) == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.mark.corpus
@pytest.mark.skipif(not SEWA.is_dir(), reason="MM_EMOTION_DATA holds no sewa_avec2019")
def test_both_poolings_over_all_recordings_of_sewa():
    tables = {file.stem: read(file)[1] for file in sorted((SEWA / "labels_devel").glob("*.csv"))}
    names = np.concatenate([np.repeat(name, len(table)) for name, table in tables.items()])
    for k in range(3):
        labels = np.concatenate([table[:, k] for table in tables.values()])
        outputs = 0.5 * delayed(labels, names, 10) + 0.1
        pairs = [(outputs[names == name], labels[names == name]) for name in tables]
        apart = [lin(*pair) if np.ptp(pair[1]) else np.nan for pair in pairs]
        assert concordance_correlation(outputs, labels) == pytest.approx(lin(outputs, labels), abs=1e-12)
        assert concordance_correlation(outputs, labels, groups=names) == pytest.approx(np.nanmean(apart), abs=1e-12)
