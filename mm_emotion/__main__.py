"""mm-emotion: prepare a corpus, train and evaluate a recipe, predict with a saved system.

Libraries are imported inside the commands: each loads what it needs and no more.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from mm_emotion.errors import (
    BrokenExtensionError,
    CorpusError,
    EmotionError,
    FeatureError,
    MissingLibraryError,
    RecipeError,
)

CORPORA = {"iemocap": ("datasets_scripts.iemocap", "Iemocap")}
TRACKERS = ("tensorboard", "wandb", "mlflow", "comet_ml")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; bad input is one line on standard error and exit status 2."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        return options.run(options) or 0
    except (EmotionError, MissingLibraryError, BrokenExtensionError, OSError) as error:  # OSError: the user's path
        print(f"mm-emotion {options.command}: {error}", file=sys.stderr)
        return 2


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of one command; `section.key=value` may stand anywhere behind the recipe."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    takes_overrides = "overrides" in options
    unknown = [word for word in rest if not takes_overrides or word.startswith("-") or "=" not in word]
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if takes_overrides:
        seeds = options.seeds or []
        options.overrides += [*rest, *(word for word in seeds if isinstance(word, str))]
        options.seeds = [word for word in seeds if isinstance(word, int)]
    if options.command == "predict":
        own = any(given is not None for given in (options.text, options.audio, options.video))
        if own and (options.data is not None or options.dialogue is not None):
            parser.error("predict: --data and --dialogue choose from a corpus: not with --text, --audio or --video")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mm-emotion",
        description="Multimodal emotion recognition: corpus -> features -> dataset -> model -> metrics -> hub.",
        epilog="Each command has examples: mm-emotion COMMAND --help",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    prepare = _command(
        commands,
        "prepare",
        _prepare,
        "raw corpus folder -> prepared dataset",
        "mm-emotion prepare iemocap --data-dir /corpora/IEMOCAP_full_release --out data/iemocap --config six_way\n"
        "mm-emotion prepare iemocap --help",
    )
    prepare.add_argument("corpus", choices=sorted(CORPORA))
    prepare.add_argument(
        "words", nargs=argparse.REMAINDER, metavar="options", help="as `mm-emotion prepare CORPUS --help` says"
    )
    train = _command(
        commands,
        "train",
        _train,
        "train one recipe for one or more seeds; accelerate launch train.py takes the same words",
        "mm-emotion train bc_lstm/iemocap_bc_lstm_text --data data/iemocap training.learning_rate=1e-3\n"
        "accelerate launch train.py dialogue_rnn/iemocap_bidialogue_rnn_att_text --data data/iemocap --seeds 0 1 2",
    )
    _run_options(train, "seeds to run (default: the recipe's first)")

    reproduce = _command(
        commands,
        "reproduce",
        _reproduce,
        "run every seed of a recipe and record the results beside the published figures",
        "mm-emotion reproduce bc_lstm/iemocap_bc_lstm_text --data data/iemocap --results results.csv",
    )
    _run_options(reproduce, "seeds to run (default: all of the recipe)")
    reproduce.add_argument(
        "--results", type=Path, required=True, help="results file to add to; RESULTS.md is written beside it"
    )

    evaluate = _command(
        commands,
        "evaluate",
        _evaluate,
        "evaluate a saved system and write report.md, confusion_matrix.png and results.csv",
        "mm-emotion evaluate runs/…/seed0/model --data data/iemocap --out build/report",
    )
    evaluate.add_argument("model", type=Path, help="folder of a saved system")
    _data_option(evaluate)
    evaluate.add_argument("--part", default="test", choices=["train", "validation", "test"])
    evaluate.add_argument("--against", type=Path, help="another saved system to compare with on the same rows")
    evaluate.add_argument("--out", type=Path, default=Path("build/report"))

    compare = _command(
        commands,
        "compare",
        _compare,
        "what choosing the epoch on the test part is worth, and which differences between recipes are real",
        "mm-emotion compare bc_lstm/iemocap_bc_lstm_text dialogue_rnn/iemocap_cmn_text --runs runs",
    )
    compare.add_argument("recipes", nargs="+", help="in the order to list them")
    _data_option(compare)
    compare.add_argument("--results", type=Path, default=Path("model_cards/results.csv"), help="written by reproduce")
    compare.add_argument("--runs", type=Path, default=Path("runs"), help="folder with the systems of all seeds")

    encode = _command(
        commands,
        "encode",
        _encode,
        "hidden states of a saved utterance model as a feature column of a prepared dataset",
        "mm-emotion encode --model runs/thesis/iemocap_text_cnn/seed0/model --data data/iemocap \\\n"
        "    --column text --out data/iemocap_encoded",
    )
    encode.add_argument("--model", type=Path, required=True, help="folder of a saved system")
    _data_option(encode)
    encode.add_argument("--column", required=True, choices=["text", "audio", "visual", "mocap"])
    encode.add_argument("--out", type=Path, required=True)

    predict = _command(
        commands,
        "predict",
        _predict,
        "emotions of the utterances of one dialogue, as a table",
        "mm-emotion predict --model build/demo/model --data build/demo/corpus --part test\n"
        'mm-emotion predict --model build/demo/model --text "what a day" --audio clip.wav',
    )
    predict.add_argument("--model", required=True, help="folder of a saved system or a Hub id")
    predict.add_argument("--text", help="transcript of one utterance")
    predict.add_argument("--audio", type=Path, help="sound file of one utterance")
    predict.add_argument("--video", type=Path, help="video file of one utterance, which also gives its sound")
    _data_option(predict)
    predict.add_argument("--dialogue", help="a dialogue of the corpus (default: the first of the part)")
    predict.add_argument("--part", default="test", choices=["train", "validation", "test"])

    listed = _command(
        commands,
        "list",
        _list,
        "the recipes of this package: model, modalities, causal or not, published figures",
        "mm-emotion list --paper dialogue_rnn --modality text",
    )
    listed.add_argument("--paper", help="only the recipes of this folder")
    listed.add_argument("--modality", action="append", help="only recipes that read this modality; may be repeated")
    leaderboard = _command(
        commands,
        "leaderboard",
        _leaderboard,
        "render a results file as Markdown",
        "mm-emotion leaderboard model_cards/results.csv",
    )
    leaderboard.add_argument("results", type=Path)
    _command(commands, "doctor", _doctor, "versions, devices, kernels and data that are found", "mm-emotion doctor")
    return parser


def _command(commands, name: str, run: Callable, summary: str, example: str) -> argparse.ArgumentParser:
    indented = "\n".join("  " + line for line in example.splitlines())
    command = commands.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=f"examples:\n{indented}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    return command


def _run_options(command: argparse.ArgumentParser, seeds_help: str) -> None:
    command.add_argument("recipe", help="a name from `mm-emotion list` or a YAML file")
    command.add_argument("overrides", nargs="*", metavar="section.key=value", help="changes to the recipe")
    _data_option(command)
    command.add_argument("--out", type=Path, default=Path("runs"), help="folder for runs (default: runs)")
    command.add_argument("--seeds", type=_seed, nargs="+", metavar="SEED", help=seeds_help)
    command.add_argument("--tracker", choices=TRACKERS, help="log the curves there too")
    command.add_argument(
        "--state-seconds", type=float, default=30.0, help="save the training state this often (default: 30)"
    )
    command.add_argument("--quiet", action="store_true", help="no progress bars")


def _data_option(command: argparse.ArgumentParser) -> None:
    command.add_argument("--data", type=Path, help="prepared corpus or table (default: $MM_EMOTION_DATA/<corpus>)")


def _seed(word: str) -> int | str:
    """A seed, or a change to the recipe that stands behind the seeds."""
    if "=" in word:
        return word
    if not word.lstrip("-").isdecimal():
        raise argparse.ArgumentTypeError(f"{word!r} is no seed")
    return int(word)


def _prepare(options: argparse.Namespace) -> int:
    from importlib import import_module

    from datasets_scripts._builder import main as prepare_main

    module, builder = CORPORA[options.corpus]
    return prepare_main(
        getattr(import_module(module), builder), options.words, prog=f"mm-emotion prepare {options.corpus}"
    )


def _open(options: argparse.Namespace, recipe):
    from mm_emotion.data.splits import resolve_split
    from mm_emotion.training.reproduction import open_corpus_of

    corpus = open_corpus_of(recipe, options.data)
    return corpus, resolve_split(corpus, recipe.corpus.split)


def _run_seeds(options: argparse.Namespace, recipe, seeds: Sequence[int]) -> list[dict]:
    import datasets

    from mm_emotion.training.recipe import check_seeds
    from mm_emotion.training.reproduction import make_accelerator, run_seed

    check_seeds("--seeds", seeds)
    if options.tracker is not None and find_spec(options.tracker) is None:
        raise MissingLibraryError(options.tracker, options.tracker.replace("_", "-"))
    if options.quiet:
        datasets.disable_progress_bars()
    corpus, split = _open(options, recipe)
    accelerator = make_accelerator(recipe, options.tracker, options.out)
    rows = []
    for seed in seeds:
        outcome = run_seed(
            recipe,
            corpus,
            split,
            seed=seed,
            out=options.out,
            accelerator=accelerator,
            progress_bar=not options.quiet,
            state_seconds=options.state_seconds,
        )
        rows += outcome.rows
        if accelerator.is_main_process:
            _print_outcome(recipe, seed, outcome)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return rows if accelerator.is_main_process else []


def _print_outcome(recipe, seed: int, outcome) -> None:
    for row in outcome.rows:
        if row["fold"] == "test" and not row["metric"].endswith(("_low", "_high")):
            published = recipe.published_value(row["metric"])
            beside = f"; published {published:.4f}" if published is not None else ""
            chosen = f"epoch chosen on {row['selected_on']}{beside}"
            print(f"{recipe.name} seed {seed}: test {row['metric']} {row['value']:.4f} ({chosen})")
    for note in outcome.notes:
        print(f"note: {note}")
    print(f"saved {outcome.model_folder}")


def _train(options: argparse.Namespace) -> None:
    from mm_emotion.training.recipe import load_recipe

    recipe = load_recipe(options.recipe, options.overrides)
    _run_seeds(options, recipe, options.seeds or recipe.protocol.seeds[:1])


def _reproduce(options: argparse.Namespace) -> None:
    from mm_emotion.training.evaluation import write_results
    from mm_emotion.training.recipe import load_recipe

    recipe = load_recipe(options.recipe, options.overrides)
    rows = _run_seeds(options, recipe, options.seeds or recipe.protocol.seeds)
    if rows:
        write_results(options.results, rows)
        _write_leaderboard(options.results)


def _evaluate(options: argparse.Namespace) -> None:
    from mm_emotion.pipeline import quiet_loading
    from mm_emotion.training.report import write_report
    from mm_emotion.training.reproduction import open_corpus_of
    from mm_emotion.training.saved import evaluate_folder, recipe_of

    quiet_loading()
    corpus = open_corpus_of(recipe_of(options.model), options.data)
    evaluation = evaluate_folder(options.model, corpus, options.part)
    against = evaluate_folder(options.against, corpus, options.part) if options.against else None
    print(write_report(evaluation, options.out, against), end="")


def _compare(options: argparse.Namespace) -> None:
    from mm_emotion.pipeline import quiet_loading
    from mm_emotion.training.comparison import compare

    quiet_loading()
    print(compare(options.recipes, options.results, options.runs, options.data), end="")


def _encode(options: argparse.Namespace) -> None:
    from mm_emotion.pipeline import quiet_loading
    from mm_emotion.training.reproduction import open_corpus_of
    from mm_emotion.training.saved import encode_folder, recipe_of

    quiet_loading()
    corpus = open_corpus_of(recipe_of(options.model), options.data)
    encode_folder(options.model, corpus, options.column, options.out)
    print(f"wrote {options.out}")


def _predict(options: argparse.Namespace) -> None:
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


def _list(options: argparse.Namespace) -> None:
    from mm_emotion.training.catalogue import entries, table

    found = entries(options.paper, options.modality or [])
    print(table(found))
    print(f"{len(found)} recipes; published figures are percent of the paper's own protocol")


def _leaderboard(options: argparse.Namespace) -> None:
    if not options.results.is_file():
        raise RecipeError("results", "an existing results file", repr(str(options.results)))
    _write_leaderboard(options.results)


def _write_leaderboard(results: Path) -> None:
    from mm_emotion.training.report import write_leaderboard

    print(write_leaderboard(results), end="")


def _doctor(options: argparse.Namespace) -> int:
    from mm_emotion.doctor import diagnose

    lines, healthy = diagnose()
    print("\n".join(lines))
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main())
