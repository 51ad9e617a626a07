"""accelerate launch train.py <recipe> [section.key=value ...] --data FOLDER: the same path as `mm-emotion train`."""

import sys

from mm_emotion.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
