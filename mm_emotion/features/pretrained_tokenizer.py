"""The tokenizer of a pretrained text encoder: words to the ids that its backbone knows, saved with the processor."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from mm_emotion.atomic import replace_folder
from mm_emotion.errors import CheckpointError, FeatureError

FOLDER = "pretrained_tokenizer"
"""Where a saved processor keeps it."""


@dataclass(frozen=True)
class PretrainedTokenizer:
    """A tokenizer of transformers and the most ids that it makes of an utterance, special ones included."""

    tokenizer: PreTrainedTokenizerBase
    max_length: int

    @classmethod
    def load(cls, place: str | os.PathLike, max_length: int, **hub: Any) -> "PretrainedTokenizer":
        """From a folder or a Hub id, `hub` as in transformers.

        Errors: CheckpointError where there is none; FeatureError for a `max_length` that the special ids alone exceed.
        """
        try:
            tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False, **hub)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:  # what transformers makes of it
            where = f"tokenizer of {str(place)!r}" + (f" in {hub['subfolder']}" if "subfolder" in hub else "")
            raise CheckpointError(where, "a tokenizer of transformers", " ".join(str(error).split())) from error
        least = len(tokenizer("")["input_ids"]) + 1
        if type(max_length) is not int or max_length < least:
            raise FeatureError("features.input_ids.max_length", f"an integer of at least {least}", repr(max_length))
        return cls(tokenizer, max_length)

    def encode(self, text: str) -> list[int]:
        """Ids of an utterance with the special ones of its tokenizer; longer ones are cut on its truncation side."""
        ids = self.tokenizer(text, truncation=True, max_length=self.max_length)["input_ids"]
        return ids or self.tokenizer("?")["input_ids"]  # no special ids and no words: one real step all the same

    def save(self, folder: str | os.PathLike) -> list[str]:
        """Write the tokenizer's own files into the subfolder `FOLDER`; returns their paths."""
        target = Path(folder) / FOLDER
        with replace_folder(target) as temporary:
            self.tokenizer.save_pretrained(temporary)
        return [str(path) for path in sorted(target.iterdir())]

    def contents(self) -> str:
        """All that its ids depend on."""
        backend: Mapping[str, int] = self.tokenizer.get_vocab()
        return repr((type(self.tokenizer).__name__, sorted(backend.items()), self.max_length))
