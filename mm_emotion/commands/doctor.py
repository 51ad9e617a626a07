"""mm-emotion doctor: what is installed and found."""

import argparse

SUMMARY = "versions, devices, kernels and data that are found"
EXAMPLES = "mm-emotion doctor"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Takes no options."""


def run(options: argparse.Namespace) -> int:
    from mm_emotion.doctor import diagnose

    lines, healthy = diagnose()
    print("\n".join(lines))
    return 0 if healthy else 1
