"""`pipeline("multimodal-emotion", model=…)`: emotions of clips, words and whole conversations."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm
from transformers import AutoModel, Pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from mm_emotion.errors import CheckpointError, FeatureError
from mm_emotion.features.dialogues import check_dialogue
from mm_emotion.features.processor import EmotionProcessor, party_numbers
from mm_emotion.models.modeling_emotion import EmotionPreTrainedModel
from mm_emotion.pipeline.loading import check_processor
from mm_emotion.pipeline.turns import Source, conversations, read_turns

TASK = "multimodal-emotion"

_STRETCH = 32  # utterances of a long conversation that are in memory at a time, where the model is causal
_LONG = 20  # utterances from which a progress bar is worth its line
_CUTTING = ("longest", "pause", "shortest")
_PASSED_ON = ("utterance_id", "dialogue_id", "speaker", "start", "end")


class MultimodalEmotionPipeline(Pipeline):
    """The emotion of each utterance of what `read_turns` reads: words, a clip, a mapping, turns, or a csv file.

    One input gives a list of mappings, one an utterance, with `label`, `score`, `scores` (label -> score) and what was
    given of `text`, `speaker`, `start` and `end` (s); a list of inputs gives a list of such lists. A list of mappings
    is one conversation, whose turns are in order, or several where `dialogue_id` tells them apart. The scores of a
    regression are its values. `batch_size` inputs are predicted at a time; `longest`, `pause` and `shortest` (s) cut
    recordings; `progress_bar` None shows one for long inputs. Errors: FeatureError and BatchError for bad input,
    CheckpointError for a processor that does not fit the model.
    """

    _load_processor = True
    _load_tokenizer = _load_feature_extractor = _load_image_processor = _load_video_processor = False

    def __init__(self, model: EmotionPreTrainedModel, *args: Any, **kwargs: Any):
        super().__init__(model, *args, **kwargs)
        if not isinstance(self.processor, EmotionProcessor):
            raise CheckpointError("processor", "an EmotionProcessor", type(self.processor).__name__)
        check_processor(self.model, self.processor)
        self.model.eval()

    def __call__(self, inputs: Source | Sequence[Source], **kwargs: Any) -> list[dict] | list[list[dict]]:
        several = isinstance(inputs, (list, tuple)) and not all(isinstance(turn, dict) for turn in inputs)
        results = super().__call__([_Input(source) for source in (inputs if several else [inputs])], **kwargs)
        return results if several else results[0]

    def _sanitize_parameters(self, **kwargs: Any) -> tuple[dict, dict, dict]:
        known = (*_CUTTING, "progress_bar")
        for name in kwargs:
            if name not in known:
                raise FeatureError("pipeline", f"any of {', '.join(known)}", repr(name))
        forward = {"progress_bar": kwargs["progress_bar"]} if "progress_bar" in kwargs else {}
        return {name: kwargs[name] for name in _CUTTING if name in kwargs}, forward, {}

    def get_iterator(
        self, inputs, num_workers, batch_size: int, preprocess_params, forward_params, postprocess_params
    ) -> Iterator[list[dict]]:
        """One result an input; `batch_size` of them are one padded batch, by the collator of the data contract."""
        if not isinstance(batch_size, int) or batch_size < 1:
            raise FeatureError("batch_size", "a whole number above 0", repr(batch_size))
        for first in range(0, len(inputs), batch_size):
            group = inputs[first : first + batch_size]
            outputs = self.forward([self.preprocess(source, **preprocess_params) for source in group], **forward_params)
            yield from (self.postprocess(output) for output in outputs)

    def preprocess(self, source: "_Input", **cutting: float) -> list[dict]:
        return read_turns(source.source, **cutting)

    def _forward(self, inputs: list[list[dict]], progress_bar: bool | None = None) -> list[tuple[list[dict], Tensor]]:
        parts = [conversations(turns) for turns in inputs]
        if len(inputs) == 1:
            return [(inputs[0], self._one_by_one(inputs[0], parts[0], progress_bar))]
        dialogues = [[turns[place] for place in part] for turns, own in zip(inputs, parts, strict=True) for part in own]
        rows = iter(self.model(**self._batch(dialogues)).logits)
        return [(turns, _in_order(own, rows)) for turns, own in zip(inputs, parts, strict=True)]

    def _one_by_one(self, turns: list[dict], parts: list[list[int]], progress_bar: bool | None) -> Tensor:
        """Logits (U, K) of the turns of one input, one conversation after the other."""
        shown = len(turns) > _LONG if progress_bar is None else progress_bar
        with tqdm(total=len(turns), unit="utterance", disable=not shown) as bar:
            return _in_order(parts, (self._logits([turns[place] for place in part], bar) for part in parts))

    def _logits(self, turns: list[dict], bar: tqdm) -> Tensor:
        """Logits (U, K) of one conversation; a causal model goes through a long one stretch by stretch."""
        check_dialogue(turns)
        parties = party_numbers(turns)
        turns = [{**turn, "party": party} for turn, party in zip(turns, parties, strict=True)]
        stretch = _STRETCH if self.model.config.is_causal else len(turns)
        logits, state = [], None
        for first in range(0, len(turns), stretch):
            batch = self._batch([turns[first : first + stretch]], max(parties) + 1)
            if stretch < len(turns):
                found, state = self.model.step(batch, state)
            else:
                found = self.model(**batch).logits
            logits.append(found[0])
            bar.update(len(found[0]))
        return torch.cat(logits)

    def _batch(self, dialogues: list[list[dict]], num_parties: int | None = None) -> dict[str, Tensor]:
        return {key: values.to(self.device) for key, values in self.processor(dialogues, num_parties).items()}

    def postprocess(self, output: tuple[list[dict], Tensor]) -> list[dict]:
        turns, logits = output
        config = self.model.config
        values = logits.float() if config.problem_type == "regression" else logits.float().softmax(dim=-1)  # (U, K)
        names = [config.id2label[index] for index in range(config.num_labels)]
        results = []
        for turn, row in zip(turns, values.tolist(), strict=True):
            best = max(range(len(row)), key=row.__getitem__)
            said = turn.get("text") or turn.get("transcript")
            # A prepared row has NaN, which is not itself, where there is no time.
            given = {key: turn[key] for key in _PASSED_ON if turn.get(key) is not None and turn[key] == turn[key]}
            words = {"text": said} if isinstance(said, str) else {}
            scores = dict(zip(names, row, strict=True))
            results.append({**given, **words, "label": names[best], "score": row[best], "scores": scores})
        return results


def _in_order(parts: list[list[int]], rows: Iterable[Tensor]) -> Tensor:
    """Logits (U, K) in the order of the turns, from those of each conversation, padded or not."""
    places = [place for part in parts for place in part]
    logits = torch.cat([row[: len(part)] for part, row in zip(parts, rows, strict=False)])  # rows go on past one input
    return logits[torch.tensor(places, device=logits.device).argsort()]


class _Input:
    """One input, wrapped, so that the base takes no list of turns for a list of inputs or a chat."""

    def __init__(self, source: Source):
        self.source = source


if TASK not in PIPELINE_REGISTRY.get_supported_tasks():
    PIPELINE_REGISTRY.register_pipeline(
        TASK, pipeline_class=MultimodalEmotionPipeline, pt_model=(AutoModel,), type="multimodal"
    )
