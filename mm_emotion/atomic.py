"""Nothing half-written: files and folders are filled under a temporary name, then renamed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOTDIR
from pathlib import Path
from uuid import uuid4


@contextmanager
def replace_file(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it becomes `path`, on an exception it is removed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid4().hex}.{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replace_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it becomes `path`, on an exception it is removed.

    What was at `path` goes only when the new folder has its place. Raises NotADirectoryError where `path` is a file.
    """
    path = Path(path).resolve()  # a link to a folder goes on pointing at the new one
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(ENOTDIR, "a file is in the place of a folder", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid4().hex}.{path.name}")
    old = path.with_name(f".{uuid4().hex}.{path.name}")
    temporary.mkdir()
    try:
        yield temporary
        try:
            if path.exists():
                path.replace(old)
            temporary.replace(path)
        except BaseException:
            if old.exists():
                old.replace(path)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
