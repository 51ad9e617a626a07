"""SEWA as the challenges AVEC 2017 to 2019 gave it: arousal, valence and liking every 0.1 s.

    python -m datasets_scripts.sewa --data-dir AVEC2017 --audio audio_bow --visual video_bow --out prepared/sewa

Labels are `name;timestamp;arousal;valence;liking`, one file a recording, in `labels/`. The test labels are withheld:
its recordings have features alone.
"""

import sys

from datasets_scripts._avec import FramesBuilder, FramesConfig
from datasets_scripts._builder import main


class Sewa(FramesBuilder):
    """SEWA from a folder of an AVEC challenge (2017, 2018, 2019)."""

    BUILDER_CONFIGS = [FramesConfig(name="frames", description="A frame each 0.1 s.")]  # noqa: RUF012
    CORPUS = "sewa"
    STEP = 0.1
    PLACES = ("labels", "labels_devel", "gold_standard")


if __name__ == "__main__":
    from datasets_scripts.sewa import Sewa as Builder

    sys.exit(main(Builder))
