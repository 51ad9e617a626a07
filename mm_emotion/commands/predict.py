"""mm-emotion predict: emotions of files, of one utterance, or of a dialogue of a corpus."""

import argparse
import os
import sys
from pathlib import Path

from mm_emotion.commands._data import add_data_argument
from mm_emotion.errors import FeatureError

SUMMARY = "emotions of the utterances of clips, of a csv of turns, or of a dialogue of a corpus"
EXAMPLES = """\
mm-emotion predict --model build/demo/model interview.wav clip.mp4
mm-emotion predict --model build/demo/model turns.csv --out emotions.srt
mm-emotion predict --model build/demo/model --text "what a day" --audio clip.wav
mm-emotion predict --model build/demo/model --data build/demo/corpus --part test"""

_FORMATS = ("table", "json", "csv", "srt")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="a sound or video file, cut where nobody speaks if it is long, or a csv or tsv of turns (columns of "
        "any of text, audio, video, speaker, start, end, dialogue_id)",
    )
    parser.add_argument("--model", required=True, help="folder of a saved system or a Hub id")
    parser.add_argument("--text", help="transcript of one utterance")
    parser.add_argument("--audio", type=Path, help="sound file of one utterance")
    parser.add_argument("--video", type=Path, help="video file of one utterance, which also gives its sound")
    add_data_argument(parser)
    parser.add_argument("--dialogue", help="a dialogue of the corpus (default: the first of the part)")
    parser.add_argument("--part", default="test", choices=["train", "validation", "test"])
    parser.add_argument("--format", choices=_FORMATS, help="default: by the ending of --out, else a table")
    parser.add_argument("--out", type=Path, help="write there and not to the screen")
    parser.add_argument("--batch-size", type=int, default=1, help="files that are predicted at a time (default: 1)")


def contradiction(options: argparse.Namespace) -> str | None:
    """What speaks against the options taken together, if anything does."""
    own = any(given is not None for given in (options.text, options.audio, options.video))
    if own and options.files:
        return "files are inputs of their own: not with --text, --audio or --video"
    if (own or options.files) and (options.data is not None or options.dialogue is not None):
        return "--data and --dialogue choose from a corpus: not with files, --text, --audio or --video"
    if not own and not options.files and options.data is None and "MM_EMOTION_DATA" not in os.environ:
        return "nothing to predict: give files, --text, --audio, --video, or --data with a prepared corpus"
    if options.batch_size < 1:
        return f"--batch-size is at least 1, not {options.batch_size}"
    if options.out is not None and options.format is None and options.out.suffix[1:] not in _FORMATS[1:]:
        return f"--out ends in .json, .csv or .srt, or --format says what to write: not {str(options.out)!r}"
    return None


def run(options: argparse.Namespace) -> None:
    from mm_emotion.atomic import replace_file
    from mm_emotion.pipeline import quiet_loading, rendered

    quiet_loading()
    utterance = _utterance(options)
    results = _of_media(options, utterance) if options.files or utterance is not None else [_of_corpus(options)]
    kind = options.format or (options.out.suffix[1:] if options.out is not None else "table")
    text = rendered(results, kind)
    if options.out is None:
        print(text, end="")
        return
    with replace_file(options.out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(f"wrote {options.out}: {sum(len(rows) for _, rows in results)} utterances")


def _utterance(options: argparse.Namespace) -> dict | None:
    from mm_emotion.features.vocabulary import split_words

    given = {"text": options.text, "audio": options.audio, "video": options.video}
    given = {name: value for name, value in given.items() if value is not None}
    if given.keys() == {"text"} and not split_words(options.text):
        raise FeatureError("--text", "at least one word, a sound or a video", repr(options.text))
    return given or None


def _of_media(options: argparse.Namespace, utterance: dict | None) -> list[tuple[str, list[dict]]]:
    from mm_emotion.pipeline import MultimodalEmotionPipeline, load_system

    model, processor = load_system(options.model)
    predict = MultimodalEmotionPipeline(model, processor=processor, progress_bar=None if sys.stderr.isatty() else False)
    if utterance is not None:
        return [("", predict(utterance))]
    return list(zip(map(str, options.files), predict(list(options.files), batch_size=options.batch_size), strict=True))


def _of_corpus(options: argparse.Namespace) -> tuple[str, list[dict]]:
    import datasets

    from mm_emotion.pipeline import system_folder
    from mm_emotion.training.reproduction import open_corpus_of
    from mm_emotion.training.saved import predict_dialogue, recipe_of

    datasets.disable_progress_bars()  # one dialogue is no work
    folder = system_folder(options.model)
    corpus = open_corpus_of(recipe_of(folder), options.data)
    return predict_dialogue(folder, corpus, options.part, options.dialogue)
