"""The card of a model that pushes itself: what it is and how to call it, since of its training it knows nothing."""

import textwrap
from collections.abc import Sequence

from huggingface_hub import ModelCardData
from torch import nn

from mm_emotion.schema import MODALITIES

TASKS = {"audio": "audio-classification", "visual": "video-classification", "text": "text-classification"}
"""Modality -> task of the Hub; a system of several has the first of these."""

LOAD = """import mm_emotion  # registers the models with transformers{first}
from transformers import AutoModel, AutoProcessor

model = AutoModel.from_pretrained("{repository}")
"""
_SHOW_CLASS = """for logits in model(**batch).logits[0]:  # one row an utterance
    print(model.config.id2label[int(logits.argmax())])"""
_SHOW_VALUES = """for values in model(**batch).logits[0].tolist():  # one row an utterance
    print(dict(zip(model.config.id2label.values(), values)))"""
_CARD = """---
{metadata}
---

# {name}

{what}

{causal} No recipe and no results came with these weights: `mm-emotion push` sends a whole system, with its processor,
recipe, results and a card of them.

```python
{snippet}
```
"""


def short_card(model: nn.Module, repository: str, tags: Sequence[str] = ()) -> str:
    """README.md of a model as a repository of that name would show it, metadata included; it has no licence."""
    config, reads = model.config, modalities_of(model)
    names = ", ".join(config.id2label.values())
    goal = "Rates" if config.problem_type == "regression" else "Names one of"
    what = f"{goal} {names} for each utterance of a dialogue, from {' and '.join(reads)}; a `{config.model_type}` of "
    what += f"mm_emotion with {model.num_parameters():,} parameters."
    metadata = ModelCardData(
        library_name="transformers",  # the Hub shows how to load a library that it knows
        pipeline_tag=task_of(reads),
        tags=list(dict.fromkeys(["mm_emotion", "emotion-recognition", *reads, config.model_type, *tags])),
        model_name=repository.rsplit("/", 1)[-1],
    )
    return _CARD.format(
        metadata=metadata.to_yaml(),
        name=metadata.model_name,
        what="\n".join(textwrap.wrap(what, 120)),
        causal="It is causal: it may be used as the conversation goes."
        if config.is_causal
        else "It reads later utterances: it is not causal.",
        snippet=array_snippet(repository, model),
    )


def modalities_of(model: nn.Module) -> list[str]:
    """What a model reads, words counted as text."""
    read = {"text" if key == "input_ids" else key for key in model.input_shapes()}
    return [modality for modality in MODALITIES if modality in read]


def task_of(modalities: Sequence[str]) -> str | None:
    """The task of the Hub that a model of these modalities is listed under, if there is one."""
    return next((TASKS[name] for name in TASKS if name in modalities), None)


def output_lines(model: nn.Module) -> str:
    """Python that prints what `model` says of `batch`."""
    return _SHOW_VALUES if model.config.problem_type == "regression" else _SHOW_CLASS


def array_snippet(repository: str, model: nn.Module) -> str:
    """Python that loads a model by name and prints its answer for the features of two utterances."""
    arrays = []
    for key, axes in model.input_shapes().items():
        shape = ", ".join(str(size or 5) for size in axes)
        made = f"torch.ones(1, 2, {shape}, dtype=torch.long)" if key == "input_ids" else f"torch.zeros(1, 2, {shape})"
        arrays.append(f'    "{key}": {made},  # your {"words" if key == "input_ids" else "features"} of two utterances')
    if model.needs_speakers:
        arrays.append(f'    "speaker_mask": torch.eye(2, {model.config.num_parties}, dtype=torch.bool)[None],')
    code = LOAD.format(repository=repository, first="\nimport torch").replace("AutoModel, AutoProcessor", "AutoModel")
    return code + "\nbatch = {\n" + "\n".join(arrays) + "\n}\n" + output_lines(model)
