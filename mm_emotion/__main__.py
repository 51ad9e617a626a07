"""mm-emotion: prepare a corpus, train and evaluate a recipe, predict with a saved system.

The commands are the modules of `mm_emotion.commands`; each loads what it needs when it runs, and no more.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from mm_emotion.commands import COMMANDS, predict
from mm_emotion.errors import BrokenExtensionError, EmotionError, MissingLibraryError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; bad input is one line on standard error and exit status 2."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        return options.run(options) or 0
    except BrokenPipeError:  # whoever reads has read enough, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
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
    if options.command == "predict" and (reason := predict.contradiction(options)):
        parser.error(f"predict: {reason}")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mm-emotion",
        description="Multimodal emotion recognition: corpus -> features -> dataset -> model -> metrics -> hub.",
        epilog="Each command has examples: mm-emotion COMMAND --help",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = import_module(f"mm_emotion.commands.{name}")
        command = commands.add_parser(
            name,
            help=module.SUMMARY,
            description=module.SUMMARY,
            epilog="examples:\n" + "\n".join(f"  {line}" for line in module.EXAMPLES.splitlines()),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
