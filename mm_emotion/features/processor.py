"""The processor saved with every model: utterances in, feature columns or padded batches out."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from transformers import (
    AutoFeatureExtractor,
    AutoProcessor,
    AutoTokenizer,
    BatchFeature,
    PreTrainedConfig,
    ProcessorMixin,
)
from transformers.utils import cached_file

from mm_emotion.data.collator import EmotionCollator
from mm_emotion.errors import CheckpointError, FeatureError
from mm_emotion.features.extractor import EmotionFeatureExtractor, check_known
from mm_emotion.features.functionals import audio_seconds, read_audio
from mm_emotion.features.latent_semantic import FILE_NAME, LatentSemantic
from mm_emotion.features.vocabulary import EmotionTokenizer

OPTIONS = {
    "input_ids": ("max_words", "pad_side", "max_length", "truncation_side"),
    "text": ("word_dimensions", "character_dimensions", "word_minimum", "character_minimum"),
    "audio": ("feature",),
}
"""What `EmotionProcessor.fit` can fit: feature column -> the options of each."""

UTTERANCE_KEYS = (
    *("text", "transcript", "audio", "audio_path", "start", "end", "speaker", "party", "label", "affect"),
    *("utterance_id", "dialogue_id", "position", "video_path", "split"),
)
"""The keys of one utterance in a call of the processor: its own words and the columns of every prepared dataset."""

_PASSED_ON = ("utterance_id", "label", "affect")
_OWN_RECORDING_SLACK = 0.5  # s


class EmotionProcessor(ProcessorMixin):
    """A word vocabulary, latent semantic vectors and an acoustic feature, each optional.

    An empty vocabulary makes no `input_ids`, no `latent_semantic` no `text`, an extractor without feature no `audio`.
    Saved and loaded as a whole, `AutoProcessor` included.
    """

    def __init__(
        self,
        tokenizer: EmotionTokenizer | None = None,
        feature_extractor: EmotionFeatureExtractor | None = None,
    ):
        super().__init__(
            EmotionTokenizer() if tokenizer is None else tokenizer,
            EmotionFeatureExtractor() if feature_extractor is None else feature_extractor,
        )
        self.latent_semantic: LatentSemantic | None = None

    def to_dict(self) -> dict:
        """As in transformers, without the latent semantic tables, which have a file of their own."""
        tables, self.latent_semantic = self.latent_semantic, None
        try:
            return {key: value for key, value in super().to_dict().items() if key != "latent_semantic"}
        finally:
            self.latent_semantic = tables

    def save_pretrained(self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs) -> list[str]:
        """As in transformers; the latent semantic tables go to a safetensors file beside the rest."""
        extra = []
        if self.latent_semantic is not None:
            extra = [str(self.latent_semantic.save(save_directory))]
        return [*super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs), *extra]

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs) -> "EmotionProcessor":
        """As in transformers, from a folder or the Hub; an acoustic feature that is not fitted is a CheckpointError."""
        processor = super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        extractor = processor.feature_extractor
        if extractor.feature is not None and not extractor.is_fitted:
            where = f"feature extractor of {pretrained_model_name_or_path}"
            raise CheckpointError(where, "mean and scale of training utterances", "none", "fit the processor again")
        hub = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")
        path = cached_file(
            pretrained_model_name_or_path,
            FILE_NAME,
            _raise_exceptions_for_missing_entries=False,
            **{name: kwargs[name] for name in hub if name in kwargs},
        )
        processor.latent_semantic = None if path is None else LatentSemantic.load(path)
        found = 0 if processor.latent_semantic is None else processor.latent_semantic.size
        if found != extractor.text_dimensions:
            where = f"{FILE_NAME} of {pretrained_model_name_or_path}"
            raise CheckpointError(where, f"vectors of {extractor.text_dimensions} values", found)
        return processor

    @classmethod
    def fit(cls, train_rows: Iterable[dict], features: dict[str, dict]) -> "EmotionProcessor":
        """Fit vocabulary and standardisation on the training utterances and on nothing else.

        `features` maps each wanted column of `OPTIONS` to its options. Errors: FeatureError for an unknown column or
        option, or when the rows hold no word or no recording for it.
        """
        for column, options in features.items():
            check_known("features", [column], OPTIONS)
            check_known(f"features.{column}", options, OPTIONS[column])
        tokenizer, extractor = None, EmotionFeatureExtractor()
        if "audio" in features:
            extractor = EmotionFeatureExtractor(**{"feature": "functionals", **features["audio"]})
        transcripts, vectors = [], []
        for row in train_rows:
            if "input_ids" in features or "text" in features:
                transcripts.append(_text(row))
            if extractor.feature is not None and (sound := _sound(row)) is not None:
                vectors.append(extractor.extract(*sound))
        if "input_ids" in features:
            tokenizer = EmotionTokenizer.fit(transcripts, **features["input_ids"])
        if extractor.feature is not None:
            extractor.fit(vectors)
        processor = cls(tokenizer, extractor)
        if "text" in features:
            processor.latent_semantic = LatentSemantic.fit([text or "" for text in transcripts], **features["text"])
            extractor.text_dimensions = processor.latent_semantic.size
        return processor

    @property
    def columns(self) -> tuple[str, ...]:
        """The feature columns that this processor makes."""
        made = {
            "input_ids": self.tokenizer.num_words > 0,
            "text": self.latent_semantic is not None,
            "audio": self.feature_extractor.feature is not None,
        }
        return tuple(column for column, here in made.items() if here)

    def utterance(self, row: dict) -> dict:
        """Feature columns of one utterance: `input_ids` (ints), `text` and `audio` ((D,) float32), None where missing.

        Words are `text` or `transcript`. Sound is `audio`, a path or (waveform (N,), rate in Hz), a path being cut at
        `start` and `end` (s); or `audio_path` of a prepared row, cut likewise unless the file is no longer than the
        utterance (by 0.5 s), then it is the utterance's own recording and its times place it in the dialogue.
        Other keys are ignored, so that this maps over any dataset.
        """
        columns = {}
        if "input_ids" in self.columns:
            text = _text(row)
            columns["input_ids"] = None if text is None else self.tokenizer.encode_words(text)
        if "text" in self.columns:
            text = _text(row)
            columns["text"] = None if text is None else self.latent_semantic.transform(text)
        if "audio" in self.columns:
            sound = _sound(row)
            columns["audio"] = None if sound is None else self.feature_extractor(*sound)
        return columns

    def __call__(
        self, dialogues: dict | Sequence[dict] | Sequence[Sequence[dict]], num_parties: int | None = None
    ) -> BatchFeature:
        """One batch of the data contract from dialogues, one dialogue, or one utterance.

        An utterance holds any of `UTTERANCE_KEYS`; parties are numbered by the first appearance of `speaker`, unless
        `party` is given, and are one party where neither is. Errors: FeatureError for an unknown key, a speaker known
        for some utterances only, or a batch without any feature; what `utterance` and the collator raise.
        """
        if isinstance(dialogues, dict):
            dialogues = [dialogues]
        if len(dialogues) > 0 and isinstance(dialogues[0], dict):
            dialogues = [dialogues]
        batch = EmotionCollator(num_parties)([self._rows(dialogue) for dialogue in dialogues])
        if not any(column in batch for column in self.columns):
            wanted = " or ".join(dict.fromkeys(column.replace("input_ids", "text") for column in self.columns))
            raise FeatureError("dialogues", f"an utterance with {wanted or 'a feature'}", "none")
        return BatchFeature(batch)

    def _rows(self, dialogue: Sequence[dict]) -> list[dict]:
        for utterance in dialogue:
            if not isinstance(utterance, dict):
                raise FeatureError("utterance", "a dictionary", type(utterance).__name__)
            check_known("utterance", utterance, UTTERANCE_KEYS)
        parties = _parties(dialogue)
        rows = []
        for utterance, party in zip(dialogue, parties, strict=True):
            passed_on = {key: utterance[key] for key in _PASSED_ON if key in utterance}
            rows.append({**self.utterance(utterance), **passed_on, "party": party})
        return rows


def _parties(dialogue: Sequence[dict]) -> list[int]:
    for key in ("party", "speaker"):
        values = [utterance.get(key) for utterance in dialogue]
        missing = [value is None for value in values]
        if all(missing):
            continue
        if any(missing):
            raise FeatureError(key, "a value for each utterance of the dialogue, or for none", f"{values}")
        if key == "party":
            return values
        numbers = {speaker: number for number, speaker in enumerate(dict.fromkeys(values))}
        return [numbers[speaker] for speaker in values]
    return [0] * len(dialogue)


def _text(row: dict) -> str | None:
    text = row.get("text")
    if text is not None and not isinstance(text, str) and "transcript" in row:
        text = None  # the text feature of a prepared row, beside its words
    text = row.get("transcript") if text is None else text
    if text is not None and not isinstance(text, str):
        raise FeatureError("text", "a string or None", type(text).__name__)
    return text


def _sound(row: dict) -> tuple[np.ndarray, int] | None:
    """Waveform (N,) and rate in Hz of an utterance, None where it has no sound."""
    audio, start, end = row.get("audio"), row.get("start"), row.get("end")
    start = 0.0 if start is None else start
    if isinstance(audio, (str, os.PathLike)):
        return read_audio(audio, start, end)
    if isinstance(audio, (tuple, list)) and len(audio) == 2 and np.ndim(audio[0]) == 1 and np.ndim(audio[1]) == 0:
        return np.asarray(audio[0]), audio[1]
    if audio is not None:
        raise FeatureError("audio", "a path, (waveform, sampling_rate) or None", type(audio).__name__)
    path = row.get("audio_path")
    if path is None or path == "":
        return None
    if end is not None and Path(path).is_file() and audio_seconds(path) <= end - start + _OWN_RECORDING_SLACK:
        return read_audio(path)
    return read_audio(path, start, end)


class _ProcessorKey(PreTrainedConfig):
    """The Auto classes find a processor by the class name in its files; they only ask for some config as a key."""

    model_type = "mm_emotion_processor"


AutoTokenizer.register(_ProcessorKey, EmotionTokenizer, exist_ok=True)
AutoFeatureExtractor.register(_ProcessorKey, EmotionFeatureExtractor, exist_ok=True)
AutoProcessor.register(_ProcessorKey, EmotionProcessor, exist_ok=True)
