"""The `evaluate` module, loaded from its folder in a process without a network."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from mm_emotion import metrics

SCRIPT = """
import json, warnings
warnings.simplefilter("error")
import evaluate
from mm_emotion.metrics import EVALUATE_MODULE

predictions, references = [0, 1, 1, 2, 2], [0, 1, 0, 2, -100]
values, graded = [0.2, 1.4, 2.6, 3.0, 1.0], [0.0, 1.0, 2.0, 3.0, float("nan")]
load = lambda name: evaluate.load(EVALUATE_MODULE, name)
results = {}
for name in NAMES:
    classes = name in CLASSES
    results |= load(name).compute(
        predictions=predictions if classes else values, references=references if classes else graded
    )
module = load("accuracy")
module.add_batch(predictions=predictions[:3], references=references[:3])
module.add(prediction=predictions[3], reference=references[3])
results["added"] = module.compute()
both = evaluate.combine([load("accuracy"), load("weighted_f1")])
results["combined"] = both.compute(predictions=predictions, references=references)
results["wide"] = load("class_recall").compute(predictions=predictions, references=references, num_classes=4)
groups = ["a", "a", "b", "b", "b"]
results["grouped"] = load("concordance_correlation").compute(predictions=values, references=graded, groups=groups)
try:
    load("weighted_accuracy")
except ValueError as error:
    results["error"] = str(error)
print(json.dumps(results))
"""
CLASSES = [
    "accuracy",
    "class_f1",
    "class_recall",
    "confusion_matrix",
    "macro_f1",
    "unweighted_accuracy",
    "weighted_f1",
]
HELPERS = {"EVALUATE_MODULE", "bootstrap_interval", "bootstrap_scores", "paired_bootstrap", "per_dimension"}
HELPERS |= {"percentile_interval"}
NAMES = sorted(set(metrics.__all__) - HELPERS)
INPUTS = np.array([0, 1, 1, 2, 2]), np.array([0, 1, 0, 2, -100])
GRADED = np.array([0.2, 1.4, 2.6, 3.0, 1.0]), np.array([0.0, 1.0, 2.0, 3.0, np.nan])


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict:
    home = str(tmp_path_factory.mktemp("home"))
    script = f"NAMES, CLASSES = {NAMES}, {CLASSES}\n{SCRIPT}"
    run = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": home, "HF_DATASETS_CACHE": home, "HF_MODULES_CACHE": home},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_is_offered_under_its_own_name(results, name):
    wanted = getattr(metrics, name)(*(INPUTS if name in CLASSES else GRADED))
    np.testing.assert_array_equal(results[name], wanted)


def test_batches_and_combinations(results):
    assert results["added"] == {"accuracy": results["accuracy"]} == {"accuracy": 0.75}
    assert results["combined"] == {name: results[name] for name in ("accuracy", "weighted_f1")}


def test_further_arguments_reach_the_function(results):
    assert results["wide"] == {"class_recall": [0.5, 1, 1, 0]}
    wanted = metrics.concordance_correlation(*GRADED, groups=["a", "a", "b", "b", "b"])
    assert results["grouped"] == {"concordance_correlation": wanted}


def test_an_unknown_metric_lists_the_known_ones(results):
    assert results["error"].endswith("got weighted_accuracy") and all(name in results["error"] for name in NAMES)
