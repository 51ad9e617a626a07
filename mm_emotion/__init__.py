"""Multimodal emotion recognition in conversation: models, features, corpora and an honest protocol.

Importing the package registers its models and processor with the Auto classes of transformers, and its pipeline.
"""

from mm_emotion.features.processor import EmotionProcessor
from mm_emotion.models import MODELS
from mm_emotion.pipeline import MultimodalEmotionPipeline, load_system
from mm_emotion.training.recipe import list_recipes, load_recipe

__all__ = [
    "MODELS",
    "EmotionProcessor",
    "MultimodalEmotionPipeline",
    "list_recipes",
    "load_recipe",
    "load_system",
]

__version__ = "0.1.0"
