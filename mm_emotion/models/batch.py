"""The inputs of one forward pass: their names, their checks, and modality dropout."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from mm_emotion.errors import BatchError
from mm_emotion.models.configuration_emotion import EmotionConfig
from mm_emotion.schema import IGNORE_INDEX, MODALITIES


@dataclass(frozen=True)
class EmotionBatch:
    """The batch contract of `schema.BATCH_KEYS`, field by field; after `gather`, both masks are complete."""

    input_ids: Tensor | None = None
    text: Tensor | None = None
    audio: Tensor | None = None
    visual: Tensor | None = None
    mocap: Tensor | None = None
    text_mask: Tensor | None = None
    audio_mask: Tensor | None = None
    visual_mask: Tensor | None = None
    mocap_mask: Tensor | None = None
    modality_mask: Tensor | None = None
    utterance_mask: Tensor | None = None
    speaker_mask: Tensor | None = None
    labels: Tensor | None = None

    @property
    def lengths(self) -> Tensor:
        """Utterances of each dialogue, (B,) int64."""
        return self.utterance_mask.sum(1)

    @property
    def speakers(self) -> Tensor:
        """The party that speaks, (B, U) int64; 0 on padding."""
        return self.speaker_mask.to(torch.uint8).argmax(-1)


def modality_of(key: str) -> str:
    """The modality that a batch key carries; word indices are text."""
    return "text" if key == "input_ids" else key


def drop_modalities(present: Tensor, used: list[int], probability: float) -> Tensor:
    """`present` (B, U, 4) with each modality in `used` dropped at random, but never the last one of an utterance."""
    here = present[..., used]  # (B, U, M)
    draw = torch.rand(here.shape, device=present.device)
    last = F.one_hot(draw.masked_fill(~here, -1).argmax(-1), len(used)).bool()
    kept = present.clone()
    kept[..., used] = here & ((draw >= probability) | last)
    return kept


def check_words(ids: Tensor, vocab_size: int) -> None:
    """Refuse word indices beyond the vocabulary, on the CPU alone; raises BatchError."""
    if ids.device.type == "cpu" and ((ids < 0) | (ids >= vocab_size)).any():
        raise BatchError("input_ids", f"word indices below {vocab_size}", f"{ids.min()} .. {ids.max()}")


def fill_missing(batch: EmotionBatch, shapes: Mapping[str, tuple[int | None, ...]], dtype: torch.dtype) -> EmotionBatch:
    """The batch with zeros for keys left out, whose modality then counts as missing; one key at least must be there.

    Raises:
        BatchError: `modality_mask` marks a modality as present whose key is left out.
    """
    given = [key for key in shapes if getattr(batch, key) is not None]
    if not given or len(given) == len(shapes) or getattr(batch, given[0]).ndim < 2:
        return batch
    first = getattr(batch, given[0])
    lead, device = first.shape[:2], first.device  # (B, U)
    _check_mask(batch, "modality_mask", (*lead, len(MODALITIES)))
    present = torch.tensor([modality in map(modality_of, given) for modality in MODALITIES], device=device)
    filled = {"modality_mask": present.expand(*lead, -1) if batch.modality_mask is None else batch.modality_mask}
    for key in shapes.keys() - set(given):
        column = MODALITIES.index(modality_of(key))
        if device.type == "cpu" and filled["modality_mask"][..., column].any() and not present[column]:
            raise BatchError(key, "a tensor, as modality_mask says", "None")
        kind = torch.int64 if key == "input_ids" else dtype
        filled[key] = torch.zeros(*lead, *(size or 1 for size in shapes[key]), dtype=kind, device=device)
    return replace(batch, **filled)


def check_batch(
    batch: EmotionBatch, shapes: Mapping[str, tuple[int | None, ...]], config: EmotionConfig, needs_speakers: bool
) -> torch.Size:
    """Refuse a batch that breaks the contract; returns (B, U). Values are looked at on the CPU alone, to spare a sync.

    Raises:
        BatchError: a needed key is missing, or has the wrong shape, dtype or order; it names the key.
    """
    lead = None
    for key, axes in shapes.items():
        values = getattr(batch, key)
        _check_input(key, values, axes)
        lead = values.shape[:2] if lead is None else lead
        if values.shape[:2] != lead:
            raise BatchError(key, f"{tuple(lead)} dialogues and utterances", tuple(values.shape[:2]))
        if key == "input_ids" or len(axes) > 1:
            _check_mask(batch, f"{modality_of(key)}_mask", values.shape[:3])
        if 0 in values.shape:
            raise BatchError(key, "at least one dialogue, utterance and step", f"shape {tuple(values.shape)}")
    first = getattr(batch, next(iter(shapes)))
    _check_mask(batch, "utterance_mask", lead)
    _check_mask(batch, "modality_mask", (*lead, len(MODALITIES)))
    if needs_speakers:
        if batch.speaker_mask is None:
            raise BatchError("speaker_mask", "a bool tensor (B, U, P)", "None")
        _check_mask(batch, "speaker_mask", (*lead, *batch.speaker_mask.shape[-1:]))
    if batch.labels is not None:
        _check_labels(batch.labels, lead, config)
    # A compiled graph cannot stop at what a value holds.
    if first.device.type == "cpu" and not torch.compiler.is_compiling():
        _check_order(batch, lead, needs_speakers)
    return lead


def _check_input(key: str, values: Tensor | None, axes: tuple[int | None, ...]) -> None:
    shape = "(B, U, " + ", ".join("any" if size is None else str(size) for size in axes) + ")"
    if values is None:
        raise BatchError(key, f"a tensor {shape}", "None")
    if key == "input_ids" and values.dtype != torch.int64:
        raise BatchError(key, "dtype torch.int64", values.dtype)
    if key != "input_ids" and not values.is_floating_point():
        raise BatchError(key, "floating point features", values.dtype)
    if values.ndim != 2 + len(axes):
        raise BatchError(key, f"shape {shape}", tuple(values.shape))
    for axis, size in enumerate(axes, start=2):
        if size is not None and values.shape[axis] != size:
            what = "a feature width" if axis == values.ndim - 1 and key != "input_ids" else f"a size of axis {axis}"
            raise BatchError(key, f"{what} of {size}", values.shape[axis])


def _check_mask(batch: EmotionBatch, key: str, shape: tuple[int, ...]) -> None:
    mask = getattr(batch, key)
    if mask is None:
        return
    if mask.dtype != torch.bool:
        raise BatchError(key, "dtype torch.bool", mask.dtype)
    if mask.shape != shape:
        raise BatchError(key, f"shape {tuple(shape)}", tuple(mask.shape))


def _check_labels(labels: Tensor, lead: torch.Size, config: EmotionConfig) -> None:
    if config.problem_type == "regression":
        if not labels.is_floating_point() or labels.shape != (*lead, config.num_labels):
            expected = f"floating point {(*lead, config.num_labels)}"
            raise BatchError("labels", expected, f"{labels.dtype} {tuple(labels.shape)}")
        return
    if labels.dtype != torch.int64 or labels.shape != lead:
        raise BatchError("labels", f"torch.int64 {tuple(lead)}", f"{labels.dtype} {tuple(labels.shape)}")
    if labels.device.type == "cpu":
        wrong = (labels != IGNORE_INDEX) & ((labels < 0) | (labels >= config.num_labels))
        if wrong.any():
            raise BatchError("labels", f"0 .. {config.num_labels - 1} or {IGNORE_INDEX}", labels[wrong][0].item())


def _check_order(batch: EmotionBatch, lead: torch.Size, needs_speakers: bool) -> None:
    mask = torch.ones(lead, dtype=torch.bool) if batch.utterance_mask is None else batch.utterance_mask
    if (mask[:, 1:] & ~mask[:, :-1]).any():
        raise BatchError("utterance_mask", "padding on the right", "a real utterance after padding")
    if needs_speakers and (batch.speaker_mask.sum(-1) != mask).any():
        raise BatchError("speaker_mask", "one party on each real utterance, none on padding", "another count")


def aligned(batch: EmotionBatch, sequences: Sequence[tuple[str, Tensor]]) -> tuple[list[Tensor], Tensor]:
    """Sequences (B, U, T, D) of aligned modalities at one length T, and which steps any of them has (B, U, T).

    Each comes with its modality; steps that this lacks, at the end or by its mask, are 0 in it.
    """
    longest = max(sequence.shape[2] for _, sequence in sequences)
    filled, steps = [], []
    for name, sequence in sequences:
        mask = getattr(batch, f"{name}_mask")
        here = batch.modality_mask[..., MODALITIES.index(name), None]  # (B, U, 1)
        mask = here.expand(sequence.shape[:3]) if mask is None else mask
        missing = longest - sequence.shape[2]
        filled.append(F.pad(sequence.masked_fill(~mask[..., None], 0), (0, 0, 0, missing)))
        steps.append(F.pad(mask, (0, missing)))
    return filled, torch.stack(steps).any(0)
