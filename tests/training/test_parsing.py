"""Plain data becomes dataclasses strictly, and every error names its field."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from mm_emotion.errors import RecipeError
from mm_emotion.training.parsing import apply_override, build, read_yaml


@dataclass(frozen=True)
class Inner:
    number: float
    kind: Literal["one", "two"] = "one"


@dataclass(frozen=True)
class Outer:
    inner: Inner
    many: list[int] = field(default_factory=list)
    either: Literal["none"] | list[float] = "none"
    maybe: int | None = None


def test_data_of_the_right_types_is_built():
    built = build(Outer, {"inner": {"number": 3}, "many": [1], "either": [1, 2.5], "maybe": None})
    assert built == Outer(Inner(3.0), [1], [1.0, 2.5], None)
    assert isinstance(built.inner.number, float) and isinstance(built.either[0], float)


@pytest.mark.parametrize(
    ("data", "field", "hint"),
    [
        ({}, "inner", ""),
        ({"inner": 5}, "inner", ""),
        ({"inner": {"number": True}}, "inner.number", ""),
        ({"inner": {"number": 1, "kinds": 1}}, "inner.kinds", "'kind'"),
        ({"inner": {"number": 1, "kind": "on"}}, "inner.kind", "'one'"),
        ({"inner": {"number": 1, "kind": ["one"]}}, "inner.kind", ""),
        ({"inner": {"number": 1}, "many": [1, "x"]}, "many[1]", ""),
        ({"inner": {"number": 1}, "either": "all"}, "either", ""),
        ({"inner": {"number": 1}, "maybe": "x"}, "maybe", ""),
        ({"inner": {"number": 1}, 7: 1}, "7", ""),
    ],
)
def test_a_wrong_value_is_named_by_its_field(data, field, hint):
    with pytest.raises(RecipeError) as caught:
        build(Outer, data)
    assert caught.value.field == field
    assert hint in caught.value.hint


@pytest.mark.parametrize("text", ["[1", "a: 1\na: 2", "{[1]: 2}", "2024-99-99", "!!python/name:os.system"])
def test_bad_yaml_is_one_line(text):
    with pytest.raises(RecipeError, match="here: expected valid YAML") as caught:
        read_yaml("here", text)
    assert "\n" not in str(caught.value)


def test_an_override_reaches_into_sections():
    data = {"inner": {"number": 1}}
    for override in ("inner.number=2e-3", "deep.er.key=[a, b]", "text=a=b", "empty="):
        apply_override(data, override)
    assert data == {"inner": {"number": 0.002}, "deep": {"er": {"key": ["a", "b"]}}, "text": "a=b", "empty": None}


@pytest.mark.parametrize("override", ["inner.number=[1", "inner.number.deep=1", "inner", "=1"])
def test_a_bad_override_is_quoted(override):
    with pytest.raises(RecipeError) as caught:
        apply_override({"inner": {"number": 1}}, override)
    assert caught.value.field == f"override {override!r}"
