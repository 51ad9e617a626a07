"""The import table: a module imports only from the rooms its own room is allowed, and the package starts light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "mm_emotion"
BUILDERS = "datasets_scripts"

BASE = {"schema", "errors", "atomic"}
BELOW_HUB = BASE | {"ops", "data", "metrics", "features", "layers", "models", "training", "pipeline", "figures"}
EVERYTHING = BELOW_HUB | {"hub", "doctor"}
ALLOWED = {
    "schema": set(),
    "errors": set(),
    "atomic": set(),
    "ops": BASE,
    "data": BASE,
    "metrics": BASE,
    "figures": BASE | {"metrics"},
    "features": BASE | {"data.collator"},
    "layers": BASE | {"ops"},
    "models": BASE | {"ops", "layers"},
    "pipeline": BASE | {"models", "features", "data"},
    "training": BASE | {"models", "features", "data", "metrics", "figures", "pipeline"},
    "hub": BASE
    | {f"training.{name}" for name in ("recipe", "evaluation", "confusion", "continuous", "report", "saved")}
    | {"models", "features", "data", "figures", "pipeline"},
    "demo": EVERYTHING,
    "doctor": EVERYTHING - {"doctor"},
    "commands": EVERYTHING | {"demo", BUILDERS},
    "__main__": {"errors", "commands"},
    "__init__": EVERYTHING,
    "train": EVERYTHING | {"__main__"},
    BUILDERS: BASE | {"features.align"},
}
"""Room -> rooms (or single modules) it may import; its own is always allowed."""


def imported_modules(source: str, module: str, is_package: bool, known: set[str]) -> set[str]:
    """Dotted names of this repository's modules that `source`, the text of `module`, imports anywhere in its body."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: len(module.split(".")) - node.level + is_package] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            # `from a import b` imports the module a.b where there is one, else a name of a
            found |= {f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base for alias in node.names}
    return {name for name in found if name.split(".")[0] in (PACKAGE, BUILDERS)}


def room_of(module: str) -> str:
    """The line of the table that a module belongs to."""
    parts = module.split(".")
    if parts[0] != PACKAGE:
        return parts[0]
    return parts[1] if len(parts) > 1 else "__init__"


def violations(module: str, imports: set[str], packages: set[str]) -> list[str]:
    """What `module` imports against the table."""
    room = room_of(module)
    bad = []
    for name in sorted(imports):
        inside = name.removeprefix(f"{PACKAGE}.")
        allowed = any(inside == entry or inside.startswith(f"{entry}.") for entry in ALLOWED[room])
        if room_of(name) == room:
            allowed = room != "models" or not _other_family(module, name, packages)
        if name == PACKAGE and room != "train":
            allowed = False  # the front door is for users
        if not allowed:
            bad.append(f"{module} imports {name}")
    return bad


def _other_family(module: str, name: str, packages: set[str]) -> bool:
    """Whether `name` is a model family that is not the family of `module`; `models/__init__` may list them all."""
    if module == f"{PACKAGE}.models":
        return False
    families = [".".join(part.split(".")[:3]) for part in (module, name)]
    return families[1] in packages and families[0] != families[1]


def repository() -> dict[str, Path]:
    files = [*(ROOT / PACKAGE).rglob("*.py"), *(ROOT / BUILDERS).rglob("*.py")]
    names = {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}
    return names | {"train": ROOT / "train.py"}


FILES = repository()
PACKAGES = {name for name, file in FILES.items() if file.name == "__init__.py"}


@pytest.mark.parametrize("module", sorted(FILES))
def test_modules_import_only_what_their_room_may(module):
    file = FILES[module]
    imports = imported_modules(file.read_text(encoding="utf-8"), module, module in PACKAGES, set(FILES))
    assert violations(module, imports, PACKAGES) == []


@pytest.mark.parametrize(
    ("module", "line", "bad"),
    [
        ("mm_emotion.layers.fusion", "from mm_emotion.ops.masking import masked_softmax", None),
        ("mm_emotion.layers.fusion", "from mm_emotion.models.bc_lstm import X", "mm_emotion.models.bc_lstm"),
        ("mm_emotion.layers.fusion", "def f():\n    import mm_emotion.training.loop", "mm_emotion.training.loop"),
        ("mm_emotion.data.corpus", "from ..errors import CorpusError", None),
        ("mm_emotion.data.corpus", "from ..metrics import accuracy", "mm_emotion.metrics"),
        ("mm_emotion.data.corpus", "from .. import metrics", "mm_emotion.metrics"),
        ("mm_emotion.data.corpus", "from mm_emotion import metrics, schema", "mm_emotion.metrics"),
        ("mm_emotion.data.corpus", "from mm_emotion import load", "mm_emotion"),
        ("mm_emotion.data.corpus", "from .collator import EmotionCollator", None),
        ("mm_emotion.data.corpus", "import datasets_scripts.iemocap", "datasets_scripts.iemocap"),
        ("mm_emotion.features.processor", "from mm_emotion.data.collator import EmotionCollator", None),
        ("mm_emotion.features.processor", "from mm_emotion.data.corpus import X", "mm_emotion.data.corpus"),
        ("mm_emotion.features.processor", "from mm_emotion.data import collator", None),
        ("mm_emotion.models.bc_lstm.modeling_bc_lstm", "from ..modeling_emotion import X", None),
        ("mm_emotion.models.bc_lstm.modeling_bc_lstm", "from .configuration_bc_lstm import X", None),
        ("mm_emotion.models.bc_lstm.modeling_bc_lstm", "from ..joint import X", "mm_emotion.models.joint"),
        ("mm_emotion.models.bc_lstm", "from mm_emotion.models.joint import X", "mm_emotion.models.joint"),
        ("mm_emotion.models.bc_lstm", "from mm_emotion.models import MODELS", "mm_emotion.models"),
        ("mm_emotion.models", "from mm_emotion.models.joint import X", None),
        ("mm_emotion.models.bc_lstm", "from mm_emotion.ops import masking", None),
        ("mm_emotion.training.loop", "from datasets_scripts.iemocap import X", "datasets_scripts.iemocap"),
        ("mm_emotion.hub", "from mm_emotion.training.recipe import Recipe", None),
        ("mm_emotion.hub", "from mm_emotion.training.loop import train", "mm_emotion.training.loop"),
        ("mm_emotion.commands.prepare", "from datasets_scripts._builder import main", None),
        ("mm_emotion.__main__", "from datasets_scripts._builder import main", "datasets_scripts._builder"),
        ("datasets_scripts.iemocap", "from mm_emotion.errors import CorpusError", None),
        ("datasets_scripts.iemocap", "from mm_emotion.data.corpus import X", "mm_emotion.data.corpus"),
        ("train", "from mm_emotion.__main__ import main", None),
        ("mm_emotion.schema", "from mm_emotion.errors import CorpusError", "mm_emotion.errors"),
        ("mm_emotion.errors", "import torch", None),
    ],
)
def test_the_check_itself(module, line, bad):
    known = {"mm_emotion", "mm_emotion.metrics", "mm_emotion.schema", "mm_emotion.ops", "mm_emotion.data.collator"}
    packages = {"mm_emotion", "mm_emotion.models", "mm_emotion.models.bc_lstm", "mm_emotion.models.joint"}
    found = violations(module, imported_modules(line, module, module in packages, known), packages)
    assert found == ([f"{module} imports {bad}"] if bad else [])


def test_every_room_has_its_line_in_the_table():
    assert {room_of(module) for module in FILES} <= set(ALLOWED)


HEAVY = ("gradio", "opensmile", "av", "sklearn", "matplotlib", "pandas", "datasets", "evaluate", "pyarrow")
HEAVY += ("scipy.signal", "scipy.stats", "scipy.ndimage")
"""Libraries, optional or slow to load, that neither importing transformers nor starting needs."""


@pytest.mark.parametrize("start", ["import mm_emotion", "from mm_emotion.__main__ import parse; parse(['--help'])"])
def test_starting_leaves_optional_and_heavy_libraries_alone(start):
    script = f"import atexit, sys; atexit.register(lambda: print('loaded:', *{set(HEAVY)} & set(sys.modules))); {start}"
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.splitlines()[-1:]) == (0, ["loaded:"]), run.stdout + run.stderr
