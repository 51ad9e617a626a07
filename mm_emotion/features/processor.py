"""The processor saved with every model: utterances in, feature columns or padded batches out."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

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
from mm_emotion.errors import CheckpointError, FeatureError, nearest
from mm_emotion.features.column import KINDS, check_known
from mm_emotion.features.dialogues import UTTERANCE_KEYS, check_dialogue, party_numbers
from mm_emotion.features.extractor import FILE_NAME as ARRAYS_FILE
from mm_emotion.features.extractor import EmotionFeatureExtractor
from mm_emotion.features.latent_semantic import FILE_NAME, LatentSemantic
from mm_emotion.features.pretrained_tokenizer import FOLDER as TOKENIZER_FOLDER
from mm_emotion.features.pretrained_tokenizer import PretrainedTokenizer
from mm_emotion.features.sources import step_words, words
from mm_emotion.features.vocabulary import EmotionTokenizer
from mm_emotion.features.word_sequences import FILE_NAME as SEQUENCES_FILE
from mm_emotion.features.word_sequences import OPTIONS as _SEQUENCE_OPTIONS
from mm_emotion.features.word_sequences import WordSequences
from mm_emotion.features.word_vectors import EmbeddingTable, embedding_table

__all__ = ["COLUMNS", "UTTERANCE_KEYS", "EmotionProcessor", "party_numbers"]

_TEXT_OPTIONS = {
    "input_ids": ("read", "max_words", "pad_side", "max_length", "truncation_side", "punctuation", "word_vectors"),
    "text": ("feature", "word_dimensions", "character_dimensions", "word_minimum", "character_minimum"),
}
_TEXT_FEATURES = {"latent_semantic": _TEXT_OPTIONS["text"], "word_vectors": ("feature", *_SEQUENCE_OPTIONS)}
_TOKENIZER_OPTIONS = ("tokenizer", "max_length")
_VECTOR_OPTIONS = ("path", "unknown", "seed", "on_error", "member")
COLUMNS = (*_TEXT_OPTIONS, *KINDS)
"""The feature columns that `EmotionProcessor.fit` can fit, each with a mapping of options."""

_PASSED_ON = ("utterance_id", "label", "affect")
_SOURCES = {"input_ids": "text", "visual": "video"}


class EmotionProcessor(ProcessorMixin):
    """A word vocabulary, latent semantic vectors, and features of sound, picture and motion, each optional.

    An empty vocabulary makes no `input_ids`, neither `latent_semantic` nor `word_sequences` no `text`, an extractor
    without a column not that one. `pretrained_tokenizer` stands in the place of the vocabulary where a pretrained text
    encoder reads. Saved and loaded as a whole, `AutoProcessor` included; `embedding_table`, the word vectors that a
    model may start from, is there after `fit` alone, since the model's own weights are saved.
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
        self.word_sequences: WordSequences | None = None
        self.embedding_table: EmbeddingTable | None = None
        self.pretrained_tokenizer: PretrainedTokenizer | None = None

    def to_dict(self) -> dict:
        """As in transformers, without what has files of its own."""
        own = ("latent_semantic", "word_sequences", "embedding_table", "pretrained_tokenizer")
        tables = {name: vars(self).pop(name) for name in own}
        try:
            return super().to_dict()
        finally:
            vars(self).update(tables)

    def save_pretrained(self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs) -> list[str]:
        """As in transformers; what was fitted goes to safetensors files beside the rest."""
        extra = self.feature_extractor.save_arrays(save_directory)
        if self.latent_semantic is not None:
            extra.append(str(self.latent_semantic.save(save_directory)))
        if self.word_sequences is not None:
            extra.append(str(self.word_sequences.save(save_directory)))
        if self.pretrained_tokenizer is not None:
            extra += self.pretrained_tokenizer.save(save_directory)
        return [*super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs), *extra]

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs) -> "EmotionProcessor":
        """As in transformers, from a folder or the Hub; a feature whose fitted values are lost is a CheckpointError."""
        processor = super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        hub = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")

        def beside(name: str) -> str | None:
            return cached_file(
                pretrained_model_name_or_path,
                name,
                _raise_exceptions_for_missing_entries=False,
                **{key: kwargs[key] for key in hub if key in kwargs},
            )

        extractor, where = processor.feature_extractor, str(pretrained_model_name_or_path)
        extractor.load_arrays(beside(ARRAYS_FILE), where)
        path = beside(FILE_NAME)
        processor.latent_semantic = None if path is None else LatentSemantic.load(path)
        path = beside(SEQUENCES_FILE)
        processor.word_sequences = None if path is None else WordSequences.load(path)
        text = processor.latent_semantic or processor.word_sequences
        found = 0 if text is None else text.size
        if found != extractor.text_dimensions:
            raise CheckpointError(
                f"{FILE_NAME} or {SEQUENCES_FILE} of {where}", f"vectors of {extractor.text_dimensions} values", found
            )
        processor.pretrained_tokenizer = None
        if extractor.tokenizer_length:
            place = {"subfolder": TOKENIZER_FOLDER, **{key: kwargs[key] for key in hub if key in kwargs}}
            if Path(pretrained_model_name_or_path).is_dir():
                pretrained_model_name_or_path = Path(pretrained_model_name_or_path) / place.pop("subfolder")
            processor.pretrained_tokenizer = PretrainedTokenizer.load(
                pretrained_model_name_or_path, extractor.tokenizer_length, **place
            )
        return processor

    @classmethod
    def fit(cls, train_rows: Iterable[dict], features: dict[str, dict]) -> "EmotionProcessor":
        """Fit vocabulary, latent semantic vectors and scalings on the training utterances and on nothing else.

        `features` maps each wanted column of `COLUMNS` to its options: those of `EmotionTokenizer.fit` and
        `word_vectors` (a mapping with `path`, and options of `embedding_table`) for `input_ids`, or `tokenizer` (a
        folder or Hub id whose tokenizer makes the ids) and `max_length` (128), of `LatentSemantic.fit`, or of
        `WordSequences.fit` with `feature: word_vectors`, for `text`, of `ColumnFeature` and of the feature named by
        `feature` for the others.
        Errors: FeatureError for an unknown column or option, or when the rows hold no word or no media for it.
        """
        check_known("features", features, COLUMNS)
        for column in _TEXT_OPTIONS.keys() & features.keys():
            if column == "text":
                known = _text_options(features["text"])
            else:
                known = _TOKENIZER_OPTIONS if "tokenizer" in features[column] else _TEXT_OPTIONS[column]
            check_known(f"features.{column}", features[column], known)
        extractor = EmotionFeatureExtractor({name: options for name, options in features.items() if name in KINDS})
        options = dict(features.get("input_ids", {}))
        fitting, transcripts, read = extractor.fitting(), [], []
        for row in train_rows:
            if "text" in features:
                transcripts.append(words(row))
            if "input_ids" in features:
                read.append(step_words(row) if options.get("read") == "words" else words(row))
            fitting.add(row)
        fitting.finish()
        vectors = options.pop("word_vectors", None)
        place, tokenizer = options.pop("tokenizer", None), None
        if "input_ids" in features and place is None:
            tokenizer = EmotionTokenizer.fit(read, **options)
        processor = cls(tokenizer, extractor)
        if place is not None:
            processor.pretrained_tokenizer = PretrainedTokenizer.load(place, options.get("max_length", 128))
            extractor.tokenizer_length = processor.pretrained_tokenizer.max_length
        if vectors is not None:
            processor.embedding_table = _embedding_table(processor.tokenizer, vectors, read)
        if "text" in features:
            options = dict(features["text"])
            texts = [text or "" for text in transcripts]
            if options.pop("feature", "latent_semantic") == "word_vectors":
                text = processor.word_sequences = WordSequences.fit(texts, **options)
            else:
                text = processor.latent_semantic = LatentSemantic.fit(texts, **options)
            extractor.text_dimensions = text.size
        return processor

    @property
    def columns(self) -> tuple[str, ...]:
        """The feature columns that this processor makes."""
        has_words = self.tokenizer.num_words > 0 or self.pretrained_tokenizer is not None
        made = (has_words, self.latent_semantic is not None or self.word_sequences is not None)
        made += tuple(column in self.feature_extractor.columns for column in KINDS)
        return tuple(column for column, here in zip(COLUMNS, made, strict=True) if here)

    @property
    def widths(self) -> dict[str, int | None]:
        """The values of each column that this processor makes, None where no number is fitted."""
        feature = self.latent_semantic or self.word_sequences
        text = None if feature is None else feature.size
        known = {"text": text, **self.feature_extractor.fitted}
        return {column: known.get(column) for column in self.columns}

    @property
    def stored_columns(self) -> tuple[str, ...]:
        """Those worth keeping in a dataset: a clip or a waveform is read anew whenever it is needed."""
        of_media = self.feature_extractor.columns
        return tuple(column for column in self.columns if column not in of_media or of_media[column].is_stored)

    def utterance(self, row: dict, columns: Sequence[str] | None = None) -> dict:
        """Feature columns of one utterance, all or the `columns` named: arrays or lists, None where it lacks them.

        `input_ids` is a list of ints, `text` and `audio` (D,) or (T, D), `visual` (C, F, Y, X), `mocap` (T, D)
        float32. Where the media of a row are is told in `features.sources`. Other keys are ignored, so that this maps
        over any dataset.
        """
        made = {}
        for column in self.columns if columns is None else columns:
            if column in KINDS:
                made[column] = self.feature_extractor(column, row)
                continue
            text = step_words(row) if column == "input_ids" and self.tokenizer.read == "words" else words(row)
            if column == "text":
                encode = (self.latent_semantic or self.word_sequences).transform
            elif self.pretrained_tokenizer is not None:
                encode = self.pretrained_tokenizer.encode
            else:
                encode = self.tokenizer.encode_words
            made[column] = None if text is None else encode(text)
        return made

    def __call__(
        self, dialogues: dict | Sequence[dict] | Sequence[Sequence[dict]], num_parties: int | None = None
    ) -> BatchFeature:
        """One batch of the data contract from dialogues, one dialogue, or one utterance.

        An utterance holds any of `UTTERANCE_KEYS` and follows on the one before it; one without words, but not without
        text, counts as one unknown word. Parties are numbered by the first appearance of `speaker`, unless `party` is
        given, and are one party where neither is. Errors: FeatureError for an unknown key, a speaker known for some
        utterances only, a `position` that does not rise, or a batch without any feature; what `utterance` and the
        collator raise.
        """
        if isinstance(dialogues, dict):
            dialogues = [dialogues]
        if len(dialogues) > 0 and isinstance(dialogues[0], dict):
            dialogues = [dialogues]
        batch = EmotionCollator(num_parties)([self._rows(dialogue) for dialogue in dialogues])
        if not any(column in batch for column in self.columns):
            wanted = " or ".join(dict.fromkeys(_SOURCES.get(column, column) for column in self.columns))
            raise FeatureError("dialogues", f"an utterance with {wanted or 'a feature'}", "none")
        return BatchFeature(batch)

    def _rows(self, dialogue: Sequence[dict]) -> list[dict]:
        check_dialogue(dialogue)
        parties = party_numbers(dialogue)
        rows = []
        for utterance, party in zip(dialogue, parties, strict=True):
            passed_on = {key: utterance[key] for key in _PASSED_ON if key in utterance}
            rows.append({**self.utterance(utterance), **passed_on, "party": party})
        return rows


def _text_options(options: dict) -> tuple[str, ...]:
    """The options that the feature named for `text` takes."""
    name = options.get("feature", "latent_semantic")
    if name not in _TEXT_FEATURES:
        expected = f"one of {', '.join(_TEXT_FEATURES)}"
        raise FeatureError("features.text.feature", expected, repr(name), nearest(name, _TEXT_FEATURES))
    if name == "word_vectors" and "path" not in options:
        raise FeatureError("features.text.path", "a file of word vectors", "none")
    return _TEXT_FEATURES[name]


def _embedding_table(tokenizer: EmotionTokenizer, options: dict, transcripts: Sequence[str | None]) -> EmbeddingTable:
    if not isinstance(options, dict) or "path" not in options:
        raise FeatureError("features.input_ids.word_vectors", "a mapping with path", repr(options))
    check_known("features.input_ids.word_vectors", options, _VECTOR_OPTIONS)
    counts = Counter(word for text in transcripts if text is not None for word in tokenizer.words(text))
    return embedding_table(vocabulary=tokenizer.get_vocab(), counts=counts, **options)


class _ProcessorKey(PreTrainedConfig):
    """The Auto classes find a processor by the class name in its files; they only ask for some config as a key."""

    model_type = "mm_emotion_processor"


AutoTokenizer.register(_ProcessorKey, EmotionTokenizer, exist_ok=True)
AutoFeatureExtractor.register(_ProcessorKey, EmotionFeatureExtractor, exist_ok=True)
AutoProcessor.register(_ProcessorKey, EmotionProcessor, exist_ok=True)
