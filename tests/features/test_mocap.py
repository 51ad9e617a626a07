from pathlib import Path

import numpy as np
import pytest

from mm_emotion.data.miniature import write_miniature
from mm_emotion.errors import FeatureError
from mm_emotion.features.mocap import FACE_MARKERS, MOCAP_WIDTH, Mocap, read_markers


@pytest.fixture
def files(tmp_path, make):
    """Fifty rows from 10 to 12 s of columns k + t."""
    return make["markers"](tmp_path, "Ses01F_impro01_F000", 10.0, 12.0)


def test_parts_are_means_of_chronological_rows(files):
    made = Mocap(parts=4)(files, 10.0, 12.0)
    assert (made.shape, made.dtype) == ((4, 189), np.float32)
    times = np.linspace(10, 12, 50)[1:-1]  # rows strictly inside
    means = [part.mean() for part in np.array_split(times, 4)]
    columns = np.concatenate([np.arange(18), np.arange(6), np.arange(165)])  # hand, head, face
    np.testing.assert_allclose(made, columns + np.array(means)[:, None], rtol=1e-5)


def test_a_short_utterance_leaves_parts_empty(files):
    made = Mocap()(files, 10.5, 11.0)
    rows = np.count_nonzero((np.linspace(10, 12, 50) > 10.5) & (np.linspace(10, 12, 50) < 11.0))
    assert made.shape == (200, MOCAP_WIDTH)
    assert made[:rows].all(axis=1).sum() >= rows - 1
    assert not made[rows:].any()


def test_zeros_in_place_of_head_and_hand_need_no_files(files):
    made = Mocap(parts=3, zero_head_hand=True)({"rotated": files["rotated"]}, 10.0, 12.0)
    assert not made[:, :24].any()
    np.testing.assert_array_equal(made[:, 24:], Mocap(parts=3)(files, 10.0, 12.0)[:, 24:])


def test_the_face_is_found_by_marker_and_unseen_markers_are_left_out(files):
    lines = files["rotated"].read_text().splitlines()
    names = lines[0].split()
    table = np.array([line.split()[2:] for line in lines[2:]], dtype=object)  # (50, 165)
    swapped = [*names[:2], names[3], names[2], *names[4:]]
    order = [3, 4, 5, 0, 1, 2, *range(6, 165)]
    table = table[:, order]
    table[:25, 0] = "NaN"
    rows = [" ".join([*line.split()[:2], *row]) for line, row in zip(lines[2:], table, strict=True)]
    files["rotated"].write_text("\n".join([" ".join(swapped), lines[1], *rows]))
    made = Mocap(parts=1)(files, 10.0, 12.0)[0]
    times = np.linspace(10, 12, 50)
    assert swapped[2] == FACE_MARKERS[1] == "CH2"
    assert made[24] == pytest.approx(times[1:-1].mean(), rel=1e-5)
    assert made[27] == pytest.approx(3 + times[25:-1].mean(), rel=1e-5)


def test_a_marker_never_seen_is_zero(files):
    lines = files["head"].read_text().splitlines()
    lines[2:] = [" ".join([*line.split()[:2], "NaN", *line.split()[3:]]) for line in lines[2:]]
    files["head"].write_text("\n".join(lines))
    made = Mocap(parts=2)(files, 10.0, 12.0)
    assert made[:, 18].tolist() == [0, 0]
    assert made[:, 19].all()


def drop_marker(text: str) -> str:
    return text.replace("MNOSE", "NOSE2", 1)


def drop_column(text: str) -> str:
    """Without the last column."""
    return "\n".join(line.rsplit(" ", 1)[0] for line in text.splitlines())


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("rotated", drop_marker, "a column MNOSE"),
        ("rotated", lambda text: "\n".join([text.split("\n")[0], drop_column(text).split("\n")[1]]), "for column RHD"),
        ("head", drop_column, "6 columns after Time"),
        ("hand", drop_column, "18 columns after Time"),
        ("hand", lambda text: text.replace("Time", "Clock", 1), "Frame# and Time"),
        ("hand", lambda text: "", "Frame# and Time"),
        ("hand", lambda text: text + "1 10.5 3\n", "line 53.*20 numbers, got 3"),
        ("hand", lambda text: text.replace("10.000000", "x", 1), "line 3.*numbers"),
        ("hand", lambda text: text.replace("10.000000", "NaN", 1), "column Time"),
        ("head", lambda text: text.rstrip().rsplit(" ", 1)[0] + " inf", "finite"),
        ("head", lambda text: "\n".join(text.splitlines()[:2]), "rows between 10.0 and 12.0 s, got no rows"),
    ],
)
def test_malformed_files_are_refused_by_name(files, kind, change, message):
    files[kind].write_text(change(files[kind].read_text()))
    with pytest.raises(FeatureError, match=message) as caught:
        Mocap()(files, 10.0, 12.0)
    assert str(files[kind]) in str(caught.value)


def test_missing_files_other_texts_and_other_times_are_refused(files, tmp_path):
    with pytest.raises(FeatureError, match="no such file"):
        read_markers(tmp_path / "absent.txt", "head")
    (tmp_path / "latin.txt").write_bytes(b"Frame# Time \xff")
    with pytest.raises(FeatureError, match="UTF-8"):
        read_markers(tmp_path / "latin.txt", "head")
    with pytest.raises(FeatureError, match=r"rows between 20\.0 and 21\.0 s, got 10\.0 to 12\.0 s"):
        Mocap()(files, 20.0, 21.0)


@pytest.mark.parametrize("options", [{"parts": 0}, {"parts": 2.0}, {"zero_head_hand": 1}])
def test_impossible_options_are_refused(options):
    with pytest.raises(FeatureError, match=next(iter(options))):
        Mocap(**options)


def test_the_generated_corpus_goes_through(tmp_path):
    root = write_miniature(tmp_path / "corpus", dialogues=1, utterances=(2, 2), video=False)
    for face in root.rglob("MOCAP_rotated/*/*.txt"):
        files = {kind: Path(str(face).replace("rotated", kind)) for kind in ("rotated", "head", "hand")}
        times, _ = read_markers(face, "rotated")
        made = Mocap(parts=5)(files, times[0] - 0.01, times[-1] + 0.01)
        assert np.isfinite(made).all()
        assert made[:, 24:].std(axis=0).all()  # a listener's hands may lie still
