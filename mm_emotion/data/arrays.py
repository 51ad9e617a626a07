"""Arrays of an npz file, never of pickled objects."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import BadZipFile
from zlib import error as ZlibError

import numpy as np

from mm_emotion.errors import CorpusError

_DAMAGE = (BadZipFile, ZlibError, ValueError, TypeError, OSError, EOFError, KeyError, RuntimeError, MemoryError)
"""What numpy and zipfile say of a damaged file."""


@contextmanager
def opened(file: Path) -> Iterator[np.lib.npyio.NpzFile]:
    """The archive of an npz file; raises CorpusError where it, or an array that is read from it, is damaged."""
    try:
        # Opened here: numpy leaves a damaged file open that it opened itself.
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            yield archive
    except _DAMAGE as error:
        if isinstance(error, CorpusError):
            raise
        raise CorpusError(str(file), "a whole npz file without pickled objects", str(error)[:200]) from error
