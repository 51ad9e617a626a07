"""Word vocabulary with the counting, ordering and ids of the Keras `Tokenizer`, as a transformers tokenizer."""

import itertools
import json
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from transformers import PreTrainedTokenizer

from mm_emotion.atomic import replace_file
from mm_emotion.errors import CheckpointError, FeatureError

PADDING_ID = 0
UNKNOWN_ID = 1

_SPECIAL = ("<pad>", "<unk>")  # both hold filtered characters, so no word of a transcript can be one of them
_SEPARATORS = str.maketrans(dict.fromkeys('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n', " "))
_SIDES = ("left", "right")
READS = ("transcript", "words")
"""What a vocabulary can read of an utterance: its transcript, or its list of `words`, one a step."""

_MARKS = re.compile(r"([!?.,;:])\1*")  # a run of one mark says something else than the mark: "..."


def split_words(text: str, *, punctuation: bool = False) -> list[str]:
    """Lower-cased words of `text`: punctuation but the apostrophe, tabs and line ends separate, as in Keras.

    With `punctuation`, each run of one of ! ? . , ; : is a word of its own.
    """
    marks = [*_MARKS.finditer(text)] if punctuation else []
    starts, ends = [0, *(mark.end() for mark in marks)], [*(mark.start() for mark in marks), len(text)]
    words: list[str] = []
    for start, end, mark in itertools.zip_longest(starts, ends, marks):
        words += [word for word in text[start:end].lower().translate(_SEPARATORS).split(" ") if word]
        words += [mark.group()] if mark else []
    return words


class EmotionTokenizer(PreTrainedTokenizer):
    """Words to ids: 0 padding, 1 unknown, then the words by falling frequency, ties by first appearance.

    Without `max_length` the ids are ragged and the collator pads and masks them. With it every utterance has exactly
    `max_length` ids: padded on `pad_side`, longer ones cut on `truncation_side` (Keras: both "left"). An utterance
    without words is the single id 1, never only padding, so that each utterance has one real step. `punctuation` keeps
    marks as words, which Keras drops. `read: words` is for words that are parted already, one for each step of the
    other modalities: they are lower-cased and else as they are, and "" is padding.
    Errors: FeatureError for an impossible option, CheckpointError for a damaged vocabulary file.
    """

    vocab_files_names = {"vocab_file": "vocab.json"}  # noqa: RUF012 (declared this way by the base)
    model_input_names = ["input_ids"]  # noqa: RUF012

    def __init__(
        self,
        vocab_file: str | os.PathLike | None = None,
        words: Iterable[str] = (),
        pad_side: str = "right",
        max_length: int | None = None,
        truncation_side: str = "left",
        num_words: int | None = None,
        punctuation: bool = False,
        read: str = "transcript",
        **kwargs,
    ):
        choices = (("pad_side", pad_side, _SIDES), ("truncation_side", truncation_side, _SIDES), ("read", read, READS))
        for field, value, known in choices:
            if value not in known:
                raise FeatureError(field, " or ".join(known), repr(value))
        _positive("max_length", max_length)
        if vocab_file is not None:
            words = _read_words(vocab_file)
        self._ids = {word: index for index, word in enumerate(dict.fromkeys((*_SPECIAL, *words)))}
        self._words = list(self._ids)
        if num_words is not None and num_words != self.num_words:
            # The count is saved beside the other options, so a lost or cut vocab.json cannot pass for an empty one.
            raise CheckpointError("vocab.json", f"{num_words} words", self.num_words)
        self.pad_side, self.max_length, self.punctuation, self.read = pad_side, max_length, punctuation, read
        special = {"pad_token": _SPECIAL[PADDING_ID], "unk_token": _SPECIAL[UNKNOWN_ID], "split_special_tokens": True}
        options = {"pad_side": pad_side, "max_length": max_length, "truncation_side": truncation_side}
        options |= {"punctuation": punctuation, "read": read}
        super().__init__(**{**kwargs, **special}, **options, num_words=self.num_words)
        self.padding_side = pad_side

    @classmethod
    def fit(
        cls,
        transcripts: Iterable[str | list[str] | None],
        max_words: int | None = None,
        punctuation: bool = False,
        **options,
    ) -> "EmotionTokenizer":
        """The words of `transcripts` (None is skipped), or the `max_words` most frequent; `options` as above.

        Errors: FeatureError if the transcripts hold no word.
        """
        _positive("max_words", max_words)
        if not isinstance(punctuation, bool):
            raise FeatureError("punctuation", "true or false", repr(punctuation))
        texts = (text for text in transcripts if text is not None)
        counts = Counter(word for text in texts for word in _words(text, punctuation) if word)
        if not counts:
            raise FeatureError("transcripts", "at least one word", "none")
        return cls(words=[word for word, _ in counts.most_common(max_words)], punctuation=punctuation, **options)

    @property
    def num_words(self) -> int:
        """Words of the vocabulary, without padding and the unknown word."""
        return len(self._words) - len(_SPECIAL)

    @property
    def vocab_size(self) -> int:
        """Rows that an embedding table needs."""
        return len(self._words)

    def words(self, text: str | list[str]) -> list[str]:
        """The words of `text` as this vocabulary counts them, known or not."""
        return _words(text, self.punctuation)

    def encode_words(self, text: str | list[str]) -> list[int]:
        """Ids of the words of `text`, one or more; exactly `max_length` of them where that is set."""
        ids = [self._ids.get(word, UNKNOWN_ID) if word else PADDING_ID for word in self.words(text)] or [UNKNOWN_ID]
        if self.max_length is None:
            return ids
        ids = ids[-self.max_length :] if self.truncation_side == "left" else ids[: self.max_length]
        padding = [PADDING_ID] * (self.max_length - len(ids))
        return padding + ids if self.pad_side == "left" else ids + padding

    def get_vocab(self) -> dict[str, int]:
        """Word to id, with the two special tokens."""
        return dict(self._ids)

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str]:
        """Write `vocab.json`, word to id."""
        path = Path(save_directory) / f"{filename_prefix + '-' if filename_prefix else ''}vocab.json"
        with replace_file(path) as temporary:
            temporary.write_text(json.dumps(self._ids, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
        return (str(path),)

    def _tokenize(self, text: str) -> list[str]:
        return self.words(text)

    def _convert_token_to_id(self, token: str) -> int:
        return self._ids.get(token, UNKNOWN_ID)

    def _convert_id_to_token(self, index: int) -> str:
        return self._words[index]


def _words(text: str | list[str], punctuation: bool) -> list[str]:
    return split_words(text, punctuation=punctuation) if isinstance(text, str) else [word.lower() for word in text]


def _positive(field: str, value: int | None) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise FeatureError(field, "an integer of at least 1, or None", repr(value))


def _read_words(path: str | os.PathLike) -> list[str]:
    """Words of a saved vocabulary in the order of their ids."""
    expected = "a JSON object of word to id, ids 0.. in a row"
    try:
        ids = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"vocabulary {str(path)!r}", expected, error) from error
    if not isinstance(ids, dict) or not all(type(index) is int for index in ids.values()):
        raise CheckpointError(f"vocabulary {str(path)!r}", expected, type(ids).__name__)
    words = sorted(ids, key=ids.get)
    if [ids[word] for word in words] != list(range(len(words))) or tuple(words[: len(_SPECIAL)]) != _SPECIAL:
        raise CheckpointError(f"vocabulary {str(path)!r}", f"{expected}, {_SPECIAL[0]} and {_SPECIAL[1]} first", "gaps")
    return words[len(_SPECIAL) :]
