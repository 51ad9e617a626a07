"""The commands of `mm-emotion`, one small module each; a command has the words below and loads its libraries in `run`.

A module holds SUMMARY, EXAMPLES, `add_arguments(parser)` and `run(options)`, which returns an exit status or None.
"""

COMMANDS = (
    "prepare",
    "train",
    "reproduce",
    "evaluate",
    "compare",
    "figures",
    "encode",
    "predict",
    "demo",
    "list",
    "leaderboard",
    "card",
    "push",
    "doctor",
)
"""Names of the commands, which are those of their modules, in the order of the help."""
