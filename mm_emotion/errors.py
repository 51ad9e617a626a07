"""Typed errors for bad input: each message names the field, what was expected and what came."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: object, known: Iterable[str]) -> str:
    """A hint that names the known word most like `name`, or the empty string."""
    matches = get_close_matches(str(name), list(known), n=1)
    return f"did you mean {matches[0]!r}?" if matches else ""


class EmotionError(ValueError):
    """Bad input from outside the package; `field` says where, `expected` and `given` say what."""

    def __init__(self, field: str, expected: object, given: object, hint: str = ""):
        self.field, self.expected, self.given, self.hint = field, expected, given, hint
        super().__init__(f"{field}: expected {expected}, got {given}" + (f" ({hint})" if hint else ""))

    def __reduce__(self):
        return type(self), (self.field, self.expected, self.given, self.hint)


class CorpusError(EmotionError):
    """A corpus folder, table or annotation file is missing, empty or malformed."""


class FeatureError(EmotionError):
    """A feature has the wrong width, is not finite, or its media cannot be read."""


class SplitError(EmotionError):
    """A split overlaps itself or breaks what it declares."""


class BatchError(EmotionError):
    """A batch does not follow the data contract or does not fit the model."""


class ConfigError(EmotionError):
    """A model configuration holds an unknown key or an impossible value."""


class RecipeError(EmotionError):
    """A recipe is unknown, incomplete or holds an unknown key or value."""


class CheckpointError(EmotionError):
    """A saved model or training state is missing, truncated or of another make."""


class TrainingError(EmotionError):
    """Training cannot go on: the loss is not finite, or a state belongs to another run."""


class MissingLibraryError(ImportError):
    """An optional library is needed; the message names the package to install."""

    def __init__(self, library: str, package: str):
        super().__init__(f"this needs {library}: pip install '{package}'")


class MissingExtraError(MissingLibraryError):
    """As above, for a library of one of this package's extras."""

    def __init__(self, library: str, extra: str):
        super().__init__(library, f"mm_emotion[{extra}]")


class BrokenExtensionError(ImportError):
    """The native extension is there but cannot be loaded; the message says how to repair or to bypass it."""

    def __init__(self, library: object, reason: object):
        super().__init__(
            f"{library} cannot be loaded ({reason}); rebuild it with `pip install --no-build-isolation --no-deps .`, "
            "delete it, or set MM_EMOTION_OPS=reference to do without"
        )
