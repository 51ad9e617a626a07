"""What every corpus builder shares: fingerprint, the `datasets` base class, prepare, main; the rest is in `_rows`."""

import argparse
import hashlib
import inspect
import json
import os
import shutil
import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path

import datasets
import pyarrow
import yaml
from datasets.exceptions import DatasetGenerationError
from pyarrow import parquet

from datasets_scripts._rows import (
    OUTCOMES,
    UTTERANCE_FEATURES,
    Manifest,
    audio_path,
    number_dialogues,
    read_lines,
)
from mm_emotion import schema
from mm_emotion.atomic import replace_folder
from mm_emotion.errors import CorpusError, EmotionError

__all__ = [
    "OUTCOMES",
    "UTTERANCE_FEATURES",
    "CorpusBuilder",
    "Manifest",
    "audio_path",
    "fingerprint",
    "main",
    "number_dialogues",
    "option_fields",
    "prepare",
    "read_lines",
]

SPLIT_NAME = "corpus"
"""The one `datasets` split of a prepared folder ("all" is reserved by `datasets`); the `split` column says the rest."""


def option_fields(builder_class: type["CorpusBuilder"]) -> list:
    """The builder's own options: the fields of its config class that carry a `help` text."""
    return [option for option in fields(builder_class.BUILDER_CONFIG_CLASS) if "help" in option.metadata]


def fingerprint(builder_class: type["CorpusBuilder"], config_name: str | None, data_dir: Path, options: dict) -> str:
    """Hash of the raw folder's file list, sizes and modification times, the builder's source, config and options."""
    digest = hashlib.sha256()
    # Every module beside the builder's own: one of them may hold its parsers.
    rooms = {Path(inspect.getfile(part)).parent for part in builder_class.__mro__ if issubclass(part, CorpusBuilder)}
    for source in (*sorted(file for room in rooms for file in room.glob("*.py")), Path(schema.__file__)):
        digest.update(source.read_bytes())
    digest.update(json.dumps([builder_class.__qualname__, config_name, options], sort_keys=True).encode())
    named = [Path(options[o.name]) for o in option_fields(builder_class) if o.metadata.get("file") and options[o.name]]
    if data_dir.is_file():
        named.append(data_dir)
    listed = [Path(folder, name) for folder, _, names in os.walk(data_dir, followlinks=True) for name in names]
    for path in (*named, *sorted(listed)):
        status = path.stat() if path.exists() else path.lstat()
        # A file named by an option may lie anywhere: os.path.relpath does not mind.
        digest.update(f"{os.path.relpath(path, data_dir)}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:32]


class CorpusBuilder(datasets.GeneratorBasedBuilder):
    """Base of the corpus builders: a subclass gives its configs, `_info` and `read_rows`.

    A relative `data_dir` is made absolute and the cache folder carries a fingerprint of what is read, because
    `datasets` takes both literally and would otherwise hand out stale rows. Each config needs a `version` for the
    same reason. `SOURCE` says whether `data_dir` is a folder or one file.
    """

    SOURCE = "folder"

    def __init__(self, *, data_dir: str | os.PathLike, config_name: str | None = None, **kwargs):
        root = Path(data_dir).absolute()
        if not (root.is_dir() if self.SOURCE == "folder" else root.is_file()):
            given = f"{str(root)!r}, which is no {self.SOURCE}"
            raise CorpusError("data_dir", f"the {self.SOURCE} of the raw corpus", given)
        config_name = config_name or self.DEFAULT_CONFIG_NAME
        if config_name not in self.builder_configs:
            raise CorpusError("config", f"one of {sorted(self.builder_configs)}", repr(config_name))
        options = {option.name: kwargs.pop(option.name, option.default) for option in option_fields(type(self))}
        for option in option_fields(type(self)):
            if option.metadata.get("file") and options[option.name]:
                path = Path(options[option.name]).absolute()
                if not path.is_file():
                    given = f"{str(path)!r}, which is no file"
                    raise CorpusError(option.name, option.metadata["help"], given, option.metadata.get("why", ""))
                options[option.name] = str(path)
        self.manifest = Manifest()
        self.fingerprint = fingerprint(type(self), config_name, root, options)
        super().__init__(data_dir=str(root), config_name=config_name, **{"hash": self.fingerprint, **kwargs}, **options)

    def read_rows(self, root: Path) -> list[dict]:
        """All rows of the corpus under `root`, numbered, filling `self.manifest`; raises CorpusError."""
        raise NotImplementedError

    def _split_generators(self, dl_manager):
        # Read here, not in _generate_examples: there `datasets` would wrap our errors in its own.
        rows = self.read_rows(Path(self.config.data_dir))
        if not rows:
            raise CorpusError(self.config.data_dir, "at least one utterance", "none", self.manifest.table())
        self.manifest.found["utterances"] = len(rows)
        self.manifest.found["dialogues"] = len({row["dialogue_id"] for row in rows})
        # A tuple: `datasets` takes a list in gen_kwargs for shards.
        return [datasets.SplitGenerator(name=SPLIT_NAME, gen_kwargs={"rows": tuple(rows)})]

    def _generate_examples(self, rows):
        yield from enumerate(rows)


def _write_parquet(dataset: datasets.Dataset, folder: Path, name: str) -> str:
    """Write `dataset` as folder/name-<hash of the content>.parquet and return the file's name.

    `load_dataset(folder)` keys its cache by the text of the card, not by file times: with a constant name it
    would go on handing out the rows of an earlier run.
    """
    path = folder / f"{name}.parquet"
    with ExitStack() as stack:
        writer = None
        for cached in dataset.cache_files:
            # Not `to_parquet`, which maps the file: a process that may take little memory would pay for all of it.
            source = stack.enter_context(pyarrow.OSFile(cached["filename"]))
            batches = stack.enter_context(pyarrow.ipc.open_stream(source))
            writer = writer or stack.enter_context(parquet.ParquetWriter(path, batches.schema))
            for batch in batches:
                writer.write_batch(batch)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return path.rename(folder / f"{name}-{digest[:12]}.parquet").name


def _card(builder: CorpusBuilder, splits: dict[str, datasets.Dataset], files: dict[str, str]) -> str:
    header = {
        "pretty_name": f"{builder.name} ({builder.config.name})",
        "license": "other",
        "configs": [
            {
                "config_name": builder.config.name,
                "data_files": [{"split": s, "path": f"data/{f}"} for s, f in files.items()],
            }
        ],
    }
    lines = ["---", yaml.safe_dump(header, sort_keys=False).strip(), "---", "", f"# {header['pretty_name']}", ""]
    lines += [part for text in (builder.config.description, builder.info.description) if text for part in (text, "")]
    for name, dataset in splits.items():
        lines += [f"`{name}`: {len(dataset)} utterances, {len(set(dataset['dialogue_id']))} dialogues.", ""]
        tables = {"split": Counter(dataset["split"])}
        if "label" in dataset.features:
            names = dataset.features["label"].names
            tables["label"] = Counter("" if index is None else names[index] for index in dataset["label"])
        for column, counts in tables.items():
            lines += [f"| {column} | utterances |", "|---|---|"]
            lines += [f"| {value} | {count} |" for value, count in sorted(counts.items())] + [""]
    lines += [
        "One row is one utterance, sorted by dialogue and position. Media paths are absolute on the machine that",
        "prepared the folder; an empty path means that there is no usable file. `manifest.json` lists what was",
        "missing, repeated, unreadable or left out.",
        "",
        f"Builder version {builder.config.version}, fingerprint `{builder.fingerprint}`.",
    ]
    return "\n".join(lines) + "\n"


def _check_out(out: Path, data_dir: Path) -> None:
    if out == data_dir or out in data_dir.parents or data_dir in out.parents:
        raise CorpusError("out", "a folder apart from the raw corpus", repr(str(out)))
    if out.exists() and not (out / "manifest.json").is_file() and (not out.is_dir() or any(out.iterdir())):
        raise CorpusError("out", "a new folder, or one prepared before", f"{str(out)!r}, which holds something else")


def prepare(
    builder_class: type[CorpusBuilder],
    config_name: str | None,
    data_dir: str | os.PathLike,
    out: str | os.PathLike,
    **options,
) -> Manifest:
    """Write the prepared corpus to `out` (data/*.parquet, README.md, manifest.json), all or nothing.

    `datasets.load_dataset(out)` reads the result as one split named "corpus". An earlier result at `out` is replaced;
    any other content is refused. Raises CorpusError.
    """
    out, root = Path(out).resolve(), Path(data_dir).resolve()
    _check_out(out, root)
    with replace_folder(out) as folder:
        cache = folder / ".cache"
        builder = builder_class(config_name=config_name, data_dir=data_dir, cache_dir=str(cache), **options)
        try:
            builder.download_and_prepare()
        except DatasetGenerationError as error:
            # `datasets` wraps what is raised while rows are written; ours says what is wrong.
            raise (error.__cause__ if isinstance(error.__cause__, EmotionError) else error) from None
        splits = {str(name): builder.as_dataset(split=name) for name in builder.info.splits}
        (folder / "data").mkdir()
        files = {name: _write_parquet(dataset, folder / "data", name) for name, dataset in splits.items()}
        (folder / "README.md").write_text(_card(builder, splits, files), encoding="utf-8")
        record = {
            "corpus": builder.name,
            "config": builder.config.name,
            "version": str(builder.config.version),
            "fingerprint": builder.fingerprint,
            **builder.manifest.as_dict(),
        }
        (folder / "manifest.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        shutil.rmtree(cache)
    return builder.manifest


def main(builder_class: type[CorpusBuilder], argv: list[str] | None = None, prog: str | None = None) -> int:
    """Command line of one builder: prepare the corpus and print the manifest; 0, or 2 after one line on stderr.

    `prog` is what the user typed to get here, for help and errors.
    """
    program = prog or f"python -m {builder_class.__module__}"
    configs = {config.name: config for config in builder_class.BUILDER_CONFIGS}
    raw = "--data-dir RAW_FOLDER" if builder_class.SOURCE == "folder" else "--data my.csv"
    examples = ["examples:", f"  {program} {raw} --out prepared/{builder_class.DEFAULT_CONFIG_NAME}"]
    examples += [f"  {program} {raw} --out prepared/{name} --config {name}" for name in configs if len(configs) > 1]
    parser = argparse.ArgumentParser(
        prog=program,
        description=inspect.getdoc(builder_class),
        epilog="\n".join(
            [
                "configs:",
                *(f"  {name}: {config.description or name}" for name, config in configs.items()),
                "",
                *examples,
            ]
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--data-dir",
        "--data",
        required=True,
        metavar=builder_class.SOURCE.upper(),
        help=f"{builder_class.SOURCE} of the raw corpus",
    )
    parser.add_argument("--out", required=True, help="folder to write; an earlier result there is replaced")
    parser.add_argument("--config", choices=list(configs), default=builder_class.DEFAULT_CONFIG_NAME)
    for option in option_fields(builder_class):
        parser.add_argument(
            f"--{option.name.replace('_', '-')}",
            default=option.default,
            metavar="FILE" if option.metadata.get("file") else None,
            help=option.metadata["help"],
        )
    arguments = parser.parse_args(argv)
    options = {option.name: vars(arguments)[option.name] for option in option_fields(builder_class)}
    datasets.disable_progress_bars()
    try:
        manifest = prepare(builder_class, arguments.config, arguments.data_dir, arguments.out, **options)
    except (EmotionError, OSError) as error:
        print(f"{program}: {error}".replace("\n", "; "), file=sys.stderr)
        return 2
    print(manifest.table())
    return 0
