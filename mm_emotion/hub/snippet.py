"""The lines of code on a card that call its model, which run as they stand."""

import torch

from mm_emotion.features.processor import EmotionProcessor

_LOAD = """import mm_emotion  # registers the models with transformers{first}
from transformers import AutoModel, AutoProcessor

model = AutoModel.from_pretrained("{repository}")
"""
_PROCESSED = """processor = AutoProcessor.from_pretrained("{repository}")

{sound}batch = processor(
    [
{utterances}
    ]
)
{output}
"""
_SOUND = "sound = np.random.default_rng(0).normal(size=16000)  # put the name of a file or your samples here\n"
_SHOW_CLASS = """for logits in model(**batch).logits[0]:  # one row an utterance
    print(model.config.id2label[int(logits.argmax())])"""
_SHOW_VALUES = """for values in model(**batch).logits[0].tolist():  # one row an utterance
    print(dict(zip(model.config.id2label.values(), values)))"""


def snippet_of(repository: str, model: torch.nn.Module, processor: EmotionProcessor) -> str:
    """Python that loads a system by name and prints its answer for two utterances."""
    output = _SHOW_VALUES if model.config.problem_type == "regression" else _SHOW_CLASS
    made = _made(model, processor)
    if "words" not in made and "audio" not in made:
        return _on_arrays(repository, model, output)
    sound = ', "audio": (sound, 16000)' if "audio" in made else ""
    words = [', "text": "we are going to the lake"', ', "text": "I can not wait"'] if "words" in made else ["", ""]
    utterances = [f'        {{"speaker": "{name}"{text}{sound}}},' for name, text in zip("AB", words, strict=True)]
    first = "\nimport numpy as np" if sound else ""
    code = _LOAD.format(repository=repository, first=first)
    code += _PROCESSED.format(
        repository=repository, sound=_SOUND if sound else "", utterances="\n".join(utterances), output=output
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


def _on_arrays(repository: str, model: torch.nn.Module, output: str) -> str:
    arrays = []
    for key, axes in model.input_shapes().items():
        shape = ", ".join(str(size or 5) for size in axes)
        arrays.append(f'    "{key}": torch.zeros(1, 2, {shape}),  # your features of two utterances')
    if model.needs_speakers:
        arrays.append(f'    "speaker_mask": torch.eye(2, {model.config.num_parties}, dtype=torch.bool)[None],')
    code = _LOAD.format(repository=repository, first="\nimport torch").replace("AutoModel, AutoProcessor", "AutoModel")
    return code + "\nbatch = {\n" + "\n".join(arrays) + "\n}\n" + output
