"""Predicting with a saved system: loading it, reading a user's own input, and writing what it says."""

from mm_emotion.pipeline.emotion import TASK, MultimodalEmotionPipeline
from mm_emotion.pipeline.loading import SYSTEM_FILES, load_system, quiet_loading, system_folder
from mm_emotion.pipeline.output import FORMATS, rendered
from mm_emotion.pipeline.turns import read_turns

__all__ = [
    "FORMATS",
    "SYSTEM_FILES",
    "TASK",
    "MultimodalEmotionPipeline",
    "load_system",
    "quiet_loading",
    "read_turns",
    "rendered",
    "system_folder",
]
