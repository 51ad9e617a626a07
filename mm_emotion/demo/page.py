"""The page itself, in Gradio: it offers what the system reads, and loads and sends nothing over the network."""

import os
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from mm_emotion.demo.reading import LiveConversation, Reading, modalities_read, read, read_clip, say, turns_of
from mm_emotion.demo.render import STYLE, problem, reading_html
from mm_emotion.errors import CheckpointError, EmotionError, MissingExtraError, MissingLibraryError
from mm_emotion.features.sound import CONTAINERS
from mm_emotion.pipeline import MultimodalEmotionPipeline
from mm_emotion.pipeline.turns import SOUND_FILES

if TYPE_CHECKING:
    from gradio import Blocks
    from gradio.components import Component

EXAMPLE = (
    "Anna: we are going to the lake\nBen: I can not wait\nAnna: you forgot the tickets again\nBen: not this, please"
)

_ABOUT = (
    "Emotions here are what annotators of one corpus would have ticked, as a small network guesses them. They are no "
    "measurement of what anybody feels: do not decide about people with them."
)
_OFFERED = ("text", "audio", "visual")


def build_page(predict: MultimodalEmotionPipeline, name: str) -> "Blocks":
    """The page of one system, called `name`.

    Raises MissingExtraError without Gradio, CheckpointError for a system that reads neither words, sound nor pictures.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("GRADIO_RUN_HISTORY", "False")  # which would keep what was analysed in the browser
    modalities = [modality for modality in modalities_read(predict) if modality in _OFFERED]
    if not modalities:
        given = " and ".join(modalities_read(predict)) or "nothing"
        raise CheckpointError(f"model {name!r}", f"a system that reads any of {', '.join(_OFFERED)}", given)
    try:
        import gradio
    except ImportError as error:
        raise MissingExtraError("Gradio", "demo") from error

    theme = gradio.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    # Uploads are deleted an hour after they came, and all of them at the end.
    with gradio.Blocks(title="mm_emotion", analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gradio.Markdown(f"# Emotions in conversation\n`{name}` reads {', '.join(modalities)}. {_ABOUT}")
        if "text" in modalities:
            with gradio.Tab("Conversation"):
                _conversation(gradio, predict)
        if {"audio", "visual"} & set(modalities):
            with gradio.Tab("Clip"):
                _clip(gradio, predict, modalities)
        with gradio.Tab("Table"):
            _table(gradio, predict)
        if {"text", "audio"} & set(modalities):
            with gradio.Tab("Live"):
                if predict.model.config.is_causal:
                    _live(gradio, predict, modalities)
                else:
                    gradio.Markdown(
                        "This model reads later utterances before it answers: live mode needs a causal one."
                    )
    page.launch_options = {"theme": theme, "css": STYLE, "footer_links": []}
    return page


def _conversation(gradio: ModuleType, predict: MultimodalEmotionPipeline) -> None:
    lines = gradio.Textbox(label="A line is `Speaker: words`", lines=5, value=EXAMPLE, elem_id="conversation")
    button = gradio.Button("Analyse", variant="primary")
    result = gradio.HTML(elem_id="conversation_result")

    def analyse(conversation: str) -> str:
        try:
            return reading_html(read(predict, turns_of(conversation)))
        except EmotionError as error:
            return problem(str(error))

    button.click(analyse, lines, result, api_name=False)


def _clip(gradio: ModuleType, predict: MultimodalEmotionPipeline, modalities: list[str]) -> None:
    hears, reads_words = "audio" in modalities, "text" in modalities
    kinds = CONTAINERS | SOUND_FILES if hears else CONTAINERS
    label = "Sound or video file" if hears else "Video file"
    with gradio.Row():
        file = gradio.File(label=label, file_types=sorted(kinds), type="filepath", height=140, elem_id="clip")
        recording = _microphone(gradio, "Or record", modalities)
    # In the place of a part that the model has no use for stands a value: Gradio hands over None for a hidden one.
    words = gradio.Textbox(label="What is said in it, if you know", elem_id="said") if reads_words else gradio.State("")
    button = gradio.Button("Analyse", variant="primary")
    result = gradio.HTML(elem_id="clip_result")

    def analyse(file: str | None, recording: str | None, words: str) -> str:
        path = file or recording
        if not path:
            return problem("Upload or record a clip." if hears else "Upload a clip.")
        return _of_file(predict, path, words)

    # One clip at a time: the later takes the place of the earlier.
    file.upload(lambda: None, None, recording, api_name=False)
    if hears:
        recording.stop_recording(lambda: None, None, file, api_name=False)
    button.click(analyse, [file, recording, words], result, api_name=False)


def _table(gradio: ModuleType, predict: MultimodalEmotionPipeline) -> None:
    file = gradio.File(
        label="A csv file, a row a turn", file_types=[".csv"], type="filepath", height=140, elem_id="table"
    )
    gradio.Markdown("Columns: any of `speaker`, `text`, `audio`, `video` (whole paths), `start` and `end` (s).")
    button = gradio.Button("Analyse", variant="primary")
    result = gradio.HTML(elem_id="table_result")

    def analyse(file: str | None) -> str:
        return _of_file(predict, file) if file else problem("Upload a csv file.")

    button.click(analyse, file, result, api_name=False)


def _live(gradio: ModuleType, predict: MultimodalEmotionPipeline, modalities: list[str]) -> None:
    live = gradio.State(LiveConversation())
    with gradio.Row():
        speaker = gradio.Textbox(label="Speaker", value="Anna", scale=1, elem_id="speaker")
        words = gradio.State("")
        if "text" in modalities:
            words = gradio.Textbox(label="Words (Enter sends)", scale=4, min_width=280, elem_id="words")
        recording = _microphone(gradio, "Recording", modalities)
    with gradio.Row():
        send = gradio.Button("Say", variant="primary")
        restart = gradio.Button("Begin anew")
    heard = gradio.HTML(elem_id="heard")

    def speak(
        live: LiveConversation, speaker: str, words: str, recording: str | None
    ) -> tuple[LiveConversation, str, str, str | None]:
        turn = {"speaker": speaker.strip() or "A", "text": words.strip() or None, "audio": recording}
        if not turn["text"] and not recording:
            return live, problem("Say something.") + shown(live), words, recording
        try:
            live = say(predict, live, turn)
        except (EmotionError, MissingLibraryError) as error:
            return live, problem(_without_folder(error, recording)) + shown(live), words, recording
        return live, shown(live), "", None

    def shown(live: LiveConversation) -> str:
        is_regression = predict.model.config.problem_type == "regression"
        return (
            reading_html(Reading(live.utterances, {}, None, is_regression), newest_first=True)
            if live.utterances
            else ""
        )

    for event in [send.click, *([words.submit] if "text" in modalities else [])]:
        event(speak, [live, speaker, words, recording], [live, heard, words, recording], api_name=False)
    restart.click(lambda: (LiveConversation(), "", "", None), None, [live, heard, words, recording], api_name=False)


def _microphone(gradio: ModuleType, label: str, modalities: list[str]) -> "Component":
    if "audio" not in modalities:
        return gradio.State(None)
    return gradio.Audio(label=label, sources=["microphone"], type="filepath")


def _of_file(predict: MultimodalEmotionPipeline, path: str, words: str = "") -> str:
    """The reading of an uploaded file, or what is wrong with it."""
    try:
        return reading_html(read_clip(predict, path, words))
    except (EmotionError, MissingLibraryError, OSError) as error:
        return problem(_without_folder(error, path))


def _without_folder(error: Exception, path: str | None) -> str:
    """What is wrong, without the folder where an upload lies: nobody knows that one."""
    return str(error).replace(f"{Path(path).parent}{os.sep}", "") if path else str(error)
