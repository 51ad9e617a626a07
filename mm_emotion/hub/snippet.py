"""The lines of code on a card that call its model, which run as they stand."""

import torch

from mm_emotion.features.processor import EmotionProcessor
from mm_emotion.models.card import LOAD, array_snippet, output_lines

_PROCESSED = """processor = AutoProcessor.from_pretrained("{repository}")

{sound}batch = processor(
    [
{utterances}
    ]
)
{output}
"""
_SOUND = "sound = np.random.default_rng(0).normal(size=16000)  # put the name of a file or your samples here\n"


def snippet_of(repository: str, model: torch.nn.Module, processor: EmotionProcessor) -> str:
    """Python that loads a system by name and prints its answer for two utterances."""
    made = _made(model, processor)
    if "words" not in made and "audio" not in made:
        return array_snippet(repository, model)
    sound = ', "audio": (sound, 16000)' if "audio" in made else ""
    words = [', "text": "we are going to the lake"', ', "text": "I can not wait"'] if "words" in made else ["", ""]
    utterances = [f'        {{"speaker": "{name}"{text}{sound}}},' for name, text in zip("AB", words, strict=True)]
    first = "\nimport numpy as np" if sound else ""
    code = LOAD.format(repository=repository, first=first)
    code += _PROCESSED.format(
        repository=repository,
        sound=_SOUND if sound else "",
        utterances="\n".join(utterances),
        output=output_lines(model),
    )
    return code.strip()


def describe_inputs(model: torch.nn.Module, processor: EmotionProcessor) -> str:
    """What an utterance may hold, and what the processor cannot make of it."""
    columns = set(processor.columns)
    keys = list(model.input_shapes())
    given = {"input_ids": "`text`", "text": "`text`", "audio": "`audio`", "visual": "`video`", "mocap": "`mocap`"}
    made = list(dict.fromkeys(given[key] for key in keys if key in columns))
    sentences = [f"An utterance may hold {', '.join(made)} and its `speaker`."] if made else []
    for key in keys:
        if key not in columns:
            axes = ", ".join("steps" if size is None else str(size) for size in model.input_shapes()[key])
            sentences.append(
                f"The processor does not make `{key}`: give it as an array of (dialogues, utterances, {axes})."
            )
    if len(model.input_shapes()) > 1:
        sentences.append("What is left out counts as missing.")
    return " ".join(sentences)


def _made(model: torch.nn.Module, processor: EmotionProcessor) -> set[str]:
    """Of what the model reads, what the processor makes from words and from sound."""
    made = set(processor.columns) & set(model.input_shapes())
    return {"words" if key in ("input_ids", "text") else key for key in made}
