"""Strict plain data: YAML text to frozen dataclasses, each error naming the field."""

import dataclasses
import re
import types
import typing
from typing import Any, Literal

import yaml

from mm_emotion.errors import RecipeError, nearest


class _Loader(yaml.SafeLoader):
    """YAML whose floats may be written 1e-4 as well as 1.0e-4, and whose repeated keys are errors."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)$"),
    list("-+0123456789."),
)


def read_yaml(where: str, text: str) -> Any:
    """Plain data of a YAML text; raises RecipeError naming `where`."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader subclass
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that is none
        raise RecipeError(where, "valid YAML", " ".join(str(error).split())) from error


def apply_override(data: dict, override: str) -> None:
    """Set one `section.key=value` in nested `data`; the value is YAML. Raises RecipeError."""
    key, separator, value = override.partition("=")
    if not separator or not key:
        raise RecipeError(f"override {override!r}", "section.key=value", "no '='" if not separator else "no key")
    *sections, last = key.split(".")
    for section in sections:
        data = data.setdefault(section, {})
        if not isinstance(data, dict):
            raise RecipeError(f"override {override!r}", f"{section} to be a section", repr(data))
    data[last] = read_yaml(f"override {override!r}", value)


def build(kind: Any, value: Any, where: str = "") -> Any:
    """Turn plain data into `kind`, a dataclass or a plain type, or raise RecipeError naming the field `where`."""
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(kind, value, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _build_union(arguments, value, where)
    if origin is Literal:
        if value not in arguments or isinstance(value, bool):
            hint = nearest(value, map(str, arguments))
            raise RecipeError(where, f"one of {list(arguments)}", repr(value), hint)
        return value
    if origin is list:
        if not isinstance(value, list):
            raise RecipeError(where, "a list", repr(value))
        return [build(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(value)]
    if origin is dict:
        if not isinstance(value, dict):
            raise RecipeError(where, "a mapping", repr(value))
        return {str(key): build(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if kind is Any:
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise RecipeError(where, f"a value of type {kind.__name__}", repr(value))
    return value


def _build_dataclass(kind: type, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise RecipeError(where, f"a mapping for {kind.__name__}", repr(value))
    fields = {entry.name: entry for entry in dataclasses.fields(kind)}
    hints = typing.get_type_hints(kind)
    prefix = f"{where}." if where else ""
    for key in value:
        if key not in fields:
            raise RecipeError(f"{prefix}{key}", f"one of {sorted(fields)}", repr(key), nearest(key, fields))
    for name, entry in fields.items():
        required = entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING
        if required and name not in value:
            raise RecipeError(f"{prefix}{name}", "a value", "nothing")
    return kind(**{key: build(hints[key], item, f"{prefix}{key}") for key, item in value.items()})


def _build_union(kinds: tuple, value: Any, where: str) -> Any:
    errors = []
    for kind in kinds:
        if kind is type(None):
            if value is None:
                return None
            continue
        try:
            return build(kind, value, where)
        except RecipeError as error:
            errors.append(error)
    raise (
        errors[0] if len(errors) == 1 else RecipeError(where, " or ".join(str(e.expected) for e in errors), repr(value))
    )
