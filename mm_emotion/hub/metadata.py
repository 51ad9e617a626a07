"""What the Hub itself reads of a published system: the head of its card, and its figures for leaderboards."""

from collections.abc import Sequence

from huggingface_hub import EvalResult, EvalResultEntry, ModelCardData

from mm_emotion.hub.system import System
from mm_emotion.hub.terms import Consent, corpus_of
from mm_emotion.models.card import task_of
from mm_emotion.training.evaluation import LEGACY

TITLES = {
    "accuracy": "accuracy",
    "unweighted_accuracy": "unweighted accuracy",
    "weighted_f1": "weighted F1",
    "macro_f1": "macro F1",
    "mean_absolute_error": "mean absolute error",
    "concordance_correlation": "concordance correlation",
    "pearson": "Pearson correlation",
}


def metadata_of(system: System, repository: str, consent: Consent | None) -> ModelCardData:
    """The head of the card; it has no licence where none was stated."""
    recipe = system.recipe
    task = task_of(system.modalities)
    corpus, title = corpus_of(recipe)
    results = [
        EvalResult(
            task_type=task or "other",
            task_name="emotion recognition",
            dataset_type=corpus,
            dataset_name=title,
            dataset_config=recipe.corpus.labels,
            dataset_split="test",
            metric_type=metric,
            metric_name=f"{TITLES.get(metric, metric)}, mean of {seeds(values)}"
            + (", epoch chosen on test: legacy, leaks" if selected_on == LEGACY else ""),
            metric_value=round(sum(values) / len(values), 6),
        )
        for selected_on, metrics in list(system.test_values().items())[:1]
        for metric, values in metrics.items()
    ]
    return ModelCardData(
        license=consent.license if consent else None,
        library_name="transformers",
        pipeline_tag=task,
        tags=["mm_emotion", "emotion-recognition", *system.modalities, system.config.model_type],
        metrics=sorted({result.metric_type for result in results}) or None,
        model_name=repository.rsplit("/", 1)[-1],
        eval_results=results or None,
    )


def evaluation_entries(system: System) -> list[EvalResultEntry]:
    """The strict test figures, means over seeds, in the form that the Hub's leaderboards read."""
    corpus, (name, _) = system.recipe.corpus, corpus_of(system.recipe)
    return [
        EvalResultEntry(
            dataset_id=name,
            task_id=f"{corpus.labels}_{metric}",
            value=round(sum(values) / len(values), 6),
            notes=f"split {corpus.split}, epoch chosen on {selected_on}, mean of {seeds(values)}",
        )
        for selected_on, metrics in system.test_values().items()
        if selected_on != LEGACY
        for metric, values in metrics.items()
    ]


def seeds(values: Sequence[float]) -> str:
    """How many seeds there are values of, in words."""
    return f"{len(values)} seed" + ("s" if len(values) > 1 else "")
