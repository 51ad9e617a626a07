"""mm-emotion predict: emotions of the utterances of one dialogue."""

import argparse
from pathlib import Path

from mm_emotion.commands._data import add_data_argument
from mm_emotion.errors import CorpusError, FeatureError

SUMMARY = "emotions of the utterances of one dialogue, as a table"
EXAMPLES = """\
mm-emotion predict --model build/demo/model --data build/demo/corpus --part test
mm-emotion predict --model build/demo/model --text "what a day" --audio clip.wav"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, help="folder of a saved system or a Hub id")
    parser.add_argument("--text", help="transcript of one utterance")
    parser.add_argument("--audio", type=Path, help="sound file of one utterance")
    parser.add_argument("--video", type=Path, help="video file of one utterance, which also gives its sound")
    add_data_argument(parser)
    parser.add_argument("--dialogue", help="a dialogue of the corpus (default: the first of the part)")
    parser.add_argument("--part", default="test", choices=["train", "validation", "test"])


def contradiction(options: argparse.Namespace) -> str | None:
    """What speaks against the options taken together, if anything does."""
    own = any(given is not None for given in (options.text, options.audio, options.video))
    if own and (options.data is not None or options.dialogue is not None):
        return "--data and --dialogue choose from a corpus: not with --text, --audio or --video"
    return None


def run(options: argparse.Namespace) -> None:
    from mm_emotion.features.vocabulary import split_words
    from mm_emotion.pipeline import load_system, predict_dialogue, quiet_loading

    quiet_loading()
    model, processor = load_system(options.model)
    media = {"audio": options.audio, "video": options.video}
    media = {name: str(path) for name, path in media.items() if path is not None}
    if options.text is not None or media:
        if not media and not split_words(options.text):
            raise FeatureError("--text", "at least one word, a sound or a video", repr(options.text))
        given = {"text": options.text, **media, "speaker": "speaker"}
        utterances = [{key: value for key, value in given.items() if value is not None}]
        labels = [None]
    else:
        utterances, labels = _dialogue(options, Path(options.model))
    _print_table(utterances, labels, predict_dialogue(model, processor, utterances))


def _dialogue(options: argparse.Namespace, model_folder: Path) -> tuple[list[dict], list[str | None]]:
    from mm_emotion.data.splits import resolve_split, take
    from mm_emotion.training.reproduction import open_corpus_of
    from mm_emotion.training.saved import recipe_of

    recipe = recipe_of(model_folder)
    corpus = open_corpus_of(recipe, options.data)
    if options.dialogue is None:
        rows = take(corpus, resolve_split(corpus, recipe.corpus.split), options.part)
        options.dialogue = rows["dialogue_id"][0]
    ids = corpus["dialogue_id"]
    rows = corpus.select([index for index, name in enumerate(ids) if name == options.dialogue])
    if not len(rows):
        raise CorpusError("--dialogue", "a dialogue of the corpus", repr(options.dialogue))
    names = corpus.features["label"].names if "label" in corpus.column_names else None
    labels = [names[row["label"]] if names and row["label"] is not None else None for row in rows]
    keys = ("utterance_id", "speaker", "transcript", "audio_path", "video_path", "start", "end")
    return list(rows.select_columns(keys)), labels


def _print_table(utterances: list[dict], labels: list[str | None], emotions: list) -> None:
    width = max(len(emotion.label) for emotion in emotions)
    for utterance, label, emotion in zip(utterances, labels, emotions, strict=True):
        text = (
            utterance.get("text")
            or utterance.get("transcript")
            or str(utterance.get("audio") or utterance.get("video") or "")
        )
        text = text if len(text) <= 56 else text[:55] + "…"
        mark = "" if label is None else f"   labelled {label}"
        speaker = str(utterance.get("speaker", ""))
        print(f"{speaker:10.10s}  {text:56s}  {emotion.label:{width}s} {emotion.score:5.2f}{mark}")
