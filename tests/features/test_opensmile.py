import sys
from types import ModuleType

import numpy as np
import pytest

from mm_emotion.errors import FeatureError, MissingExtraError
from mm_emotion.features import opensmile as module
from mm_emotion.features.opensmile import WIDTHS, OpenSmile


@pytest.fixture(autouse=True)
def no_cache():
    module._smile.cache_clear()
    yield
    module._smile.cache_clear()


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "opensmile", None)
    with pytest.raises(MissingExtraError, match=r"mm_emotion\[opensmile\]"):
        OpenSmile()(np.zeros(16000), 16000)


def test_the_licence_is_said():
    assert "non-commercial" in OpenSmile().licence
    with pytest.raises(FeatureError, match="did you mean 'eGeMAPSv02'"):
        OpenSmile("eGeMAPSv01")


@pytest.mark.parametrize(("values", "message"), [([1.0] * 87, "88 values"), ([1.0] * 87 + [np.nan], "too short")])
def test_what_the_package_gives_is_checked(monkeypatch, values, message):
    seen = []

    class Smile:
        def __init__(self, feature_set, feature_level):
            self.feature_set = feature_set

        def process_signal(self, signal, rate):
            seen.append((self.feature_set, len(signal), rate))
            import pandas

            return pandas.DataFrame([values])

    fake = ModuleType("opensmile")
    fake.Smile = Smile
    monkeypatch.setitem(sys.modules, "opensmile", fake)
    with pytest.raises(FeatureError, match=message):
        OpenSmile("eGeMAPSv02")(np.zeros(8000), 8000)
    assert seen == [("eGeMAPSv02", 16000, 16000)]


@pytest.mark.slow
@pytest.mark.parametrize("feature_set", WIDTHS)
def test_every_set_has_its_width(feature_set):
    pytest.importorskip("opensmile", reason="opensmile is not installed", exc_type=ImportError)
    tone = 0.3 * np.sin(np.arange(16000) / 20) * np.random.default_rng(0).uniform(0.5, 1, 16000)
    smile = OpenSmile(feature_set)
    assert smile(tone, 16000).shape == (WIDTHS[feature_set],)
    np.testing.assert_array_equal(smile(tone, 16000), smile(tone, 16000))
    with pytest.raises(FeatureError):
        smile(tone[:50], 16000)
