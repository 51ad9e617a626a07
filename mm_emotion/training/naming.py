"""What a changed recipe is called: its runs and results must not pass for those of the recipe it was made from."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

SAFE_PART = re.compile(r"\w[\w .+=,@()-]*")
"""What may stand between the '/' of a recipe's name, which is also the folder of its runs."""

_LONGEST_CHANGE = 100  # a folder's name may have 255 bytes on common file systems


def changed_name(plain: Mapping[str, Any], changed: Mapping[str, Any]) -> str:
    """The name of `changed` followed by what differs from `plain`, as `ours/row corpus.split=speaker_fold_2`.

    Name and seeds are no change. Of a path the last part is shown, and eight letters that stand for the whole content
    follow, as `ours/row pretrained.text=minilm+1fef92c6`. Changes that are too long for a folder, or have signs that do
    not belong in one, are those letters alone, as `ours/row+a469fcaf`.
    """
    before, after = _leaves(plain), _leaves(changed)
    differing = [key for key in sorted({*before, *after}) if before.get(key) != after.get(key)]
    if not differing:
        return changed["name"]
    text = " ".join(f"{key}={after.get(key, '')}" for key in differing)
    if _fits(text):
        return f"{changed['name']} {text}"
    content = {**changed, "name": "", "protocol": {**changed["protocol"], "seeds": []}}
    letters = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
    without_folders = " ".join(f"{key}={after.get(key, '').rstrip('/').rpartition('/')[2]}" for key in differing)
    return (
        f"{changed['name']} {without_folders}+{letters}" if _fits(without_folders) else f"{changed['name']}+{letters}"
    )


def _fits(text: str) -> bool:
    return bool(SAFE_PART.fullmatch(text)) and len(text) <= _LONGEST_CHANGE


def _leaves(data: Any, path: str = "") -> dict[str, str]:
    """Every value below `data` by its dotted path, written as JSON writes it, texts without quotes."""
    if isinstance(data, Mapping):
        found: dict[str, str] = {}
        for key, value in data.items():
            found |= _leaves(value, f"{path}.{key}" if path else str(key))
        return {key: value for key, value in found.items() if key not in ("name", "protocol.seeds")}
    return {path: data if isinstance(data, str) else json.dumps(data)}
