"""What the page shows of one conversation: its emotions, what each modality brings, and where the model looks."""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from mm_emotion.errors import FeatureError
from mm_emotion.models.batch import modality_of
from mm_emotion.models.live import DialogueState
from mm_emotion.models.modeling_emotion import EmotionOutput
from mm_emotion.pipeline import MultimodalEmotionPipeline
from mm_emotion.pipeline.turns import conversations
from mm_emotion.schema import MODALITIES


@dataclass(frozen=True)
class Reading:
    """Utterances as the pipeline gives them; `contributions` maps a modality to one mapping an utterance.

    That maps the chosen label, of a regression each dimension, to how much of its score goes when the modality is left
    out. `attention` is (U, U), a row the utterance that looks, as shares of all its weights on utterances: over
    hops and histories of a memory and directions of a recurrence; a row of 0 looks at none, None is a model without.
    """

    utterances: list[dict]
    contributions: dict[str, list[dict[str, float]]]
    attention: np.ndarray | None
    is_regression: bool = False


@torch.inference_mode()
def read(predict: MultimodalEmotionPipeline, source: object) -> Reading:
    """Read one conversation; raises what the pipeline raises for bad input, and FeatureError for several of them."""
    turns = predict.turns(source)
    if len(found := conversations(turns)) > 1:
        raise FeatureError("dialogue_id", "one conversation (`mm-emotion predict` takes many)", f"{len(found)}")
    model = predict.model
    batch = {key: value.to(predict.device) for key, value in predict.processor([turns]).items()}
    output = model(**batch, output_attentions=True)
    utterances = predict.postprocess((turns, output.logits[0, : len(turns)]))
    return Reading(
        utterances,
        _contributions(predict, batch, turns, utterances),
        _attention(output, len(turns)),
        model.config.problem_type == "regression",
    )


def read_clip(predict: MultimodalEmotionPipeline, path: str, words: str) -> Reading:
    """Read a file; one that comes with its words is one utterance, however long."""
    if not words.strip():
        return read(predict, path)
    (turn,) = predict.turns(path, longest=math.inf)
    return read(predict, [{**turn, "text": words.strip()}])


def modalities_read(predict: MultimodalEmotionPipeline) -> list[str]:
    """The modalities that the model reads and the processor makes from a user's own input."""
    found = {modality_of(key) for key in predict.model.input_shapes() if key in predict.processor.columns}
    return [name for name in MODALITIES if name in found]


def turns_of(text: str) -> list[dict]:
    """The turns of a pasted conversation: a line is `Speaker: words`, or words of the speaker before (`A` at first).

    Raises FeatureError where no line holds words.
    """
    turns: list[dict] = []
    speaker = "A"
    for line in text.splitlines():
        name, colon, words = line.partition(":")
        is_time = name[-1:].isdigit() and words[:1].isdigit()  # 10:30
        if colon and words.strip() and 0 < len(name.strip()) <= 24 and not is_time:
            speaker = name.strip()
        else:
            words = line
        if words.strip():
            turns.append({"speaker": speaker, "text": words.strip()})
    if not turns:
        raise FeatureError("conversation", "a line `Speaker: words`", "none")
    return turns


@dataclass
class LiveConversation:
    """A conversation that goes on: its speakers by party number, where the model stands, what was said and heard."""

    parties: dict[str, int] = field(default_factory=dict)
    state: DialogueState | None = None
    utterances: list[dict] = field(default_factory=list)


def say(predict: MultimodalEmotionPipeline, live: LiveConversation, turn: dict) -> LiveConversation:
    """The conversation with one more turn, answered by one step of a causal model; `live` stays as it was.

    Raises what `step` and the processor raise.
    """
    parties = {**live.parties}
    party = parties.setdefault(turn["speaker"], len(parties))
    batch = predict.processor([[{**turn, "party": party}]], len(parties))
    logits, state = predict.model.step({key: value.to(predict.device) for key, value in batch.items()}, live.state)
    return LiveConversation(parties, state, [*live.utterances, *predict.postprocess(([turn], logits[0]))])


def _contributions(
    predict: MultimodalEmotionPipeline, batch: dict[str, Tensor], turns: list[dict], utterances: list[dict]
) -> dict[str, list[dict[str, float]]]:
    present = {name: MODALITIES.index(name) for name in modalities_read(predict)}
    present = {name: index for name, index in present.items() if batch["modality_mask"][..., index].any()}
    if len(present) < 2:
        return {}
    is_regression = predict.model.config.problem_type == "regression"
    found = {}
    for name, index in present.items():
        mask = batch["modality_mask"].clone()
        mask[..., index] = False
        logits = predict.model(**{**batch, "modality_mask": mask}).logits[0, : len(turns)]
        without = predict.postprocess((turns, logits))
        found[name] = [
            {
                label: row["scores"][label] - other["scores"][label]
                for label in (row["scores"] if is_regression else [row["label"]])
            }
            for row, other in zip(utterances, without, strict=True)
        ]
    return found


def _attention(output: EmotionOutput, count: int) -> np.ndarray | None:
    found = output.attentions or ()
    pairs = [weights[0] for weights in found if weights.ndim == 3 and weights.shape[1:] == (count, count)]
    if not pairs:  # the directions of a recurrence, (R, B, U, U)
        pairs = [
            one[0]
            for weights in found
            if weights.ndim == 4 and weights.shape[1:] == (1, count, count)
            for one in weights
        ]
    if not pairs:
        return None
    weights = torch.stack(pairs).float().sum(0)  # (U, U)
    return (weights / weights.sum(-1, keepdim=True).clamp(min=1e-6)).cpu().numpy()
