"""The page itself, in Gradio: nothing is loaded from or sent to the network."""

import os
from typing import TYPE_CHECKING

from mm_emotion.demo.reading import LiveConversation, read, say, turns_of
from mm_emotion.demo.render import STYLE, problem, reading_html, scores, timeline
from mm_emotion.errors import EmotionError, MissingExtraError
from mm_emotion.pipeline import MultimodalEmotionPipeline

if TYPE_CHECKING:
    from gradio import Blocks

EXAMPLE = (
    "Anna: we are going to the lake\nBen: I can not wait\nAnna: you forgot the tickets again\nBen: not this, please"
)

_ABOUT = (
    "Emotions here are what annotators of one corpus would have ticked, as a small network guesses them. They are no "
    "measurement of what anybody feels: do not decide about people with them."
)


def build_page(predict: MultimodalEmotionPipeline, name: str) -> "Blocks":
    """The page of one system, called `name`; raises MissingExtraError without Gradio."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    try:
        import gradio
    except ImportError as error:
        raise MissingExtraError("Gradio", "demo") from error

    def analyse(file: str | None, recording: str | None, conversation: str) -> str:
        given = file or recording
        if not given and not conversation.strip():
            return problem("Upload or record a clip, or paste a conversation.")
        try:
            return reading_html(read(predict, given or turns_of(conversation)))
        except (EmotionError, OSError) as error:
            return problem(str(error))

    def speak(live: LiveConversation, speaker: str, words: str) -> tuple[LiveConversation, str, str]:
        if not words.strip():
            return live, _shown(live) + problem("Say something."), words
        try:
            live = say(predict, live, {"speaker": speaker.strip() or "A", "text": words.strip()})
        except EmotionError as error:
            return live, _shown(live) + problem(str(error)), words
        return live, _shown(live), ""

    def begin() -> tuple[LiveConversation, str]:
        return LiveConversation(), ""

    theme = gradio.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    with gradio.Blocks(title="mm_emotion", analytics_enabled=False) as page:
        gradio.Markdown(f"# Emotions in conversation\n`{name}` · {_ABOUT}")
        with gradio.Tab("Clip or conversation"):
            with gradio.Row():
                file = gradio.File(label="Sound or video file, or a csv of turns", type="filepath")
                recording = gradio.Audio(label="Recording", sources=["microphone"], type="filepath")
            conversation = gradio.Textbox(label="Conversation: a line is `Speaker: words`", lines=5, value=EXAMPLE)
            button = gradio.Button("Analyse", variant="primary", elem_id="analyse")
            result = gradio.HTML(elem_id="result")
            button.click(analyse, [file, recording, conversation], result, api_name="analyse")
        with gradio.Tab("Live"):
            if predict.model.config.is_causal:
                live = gradio.State(LiveConversation())
                with gradio.Row():
                    speaker = gradio.Textbox(label="Speaker", value="Anna", scale=1)
                    words = gradio.Textbox(label="Words (Enter sends)", scale=4, elem_id="words")
                with gradio.Row():
                    send = gradio.Button("Say", variant="primary")
                    restart = gradio.Button("Begin anew")
                heard = gradio.HTML(elem_id="heard")
                for event in (words.submit, send.click):
                    event(speak, [live, speaker, words], [live, heard, words], api_name=False)
                restart.click(begin, None, [live, heard], api_name=False)
            else:
                gradio.Markdown("This model reads later utterances before it answers: live mode needs a causal one.")
    page.launch_options = {"theme": theme, "css": STYLE}
    return page


def _shown(live: LiveConversation) -> str:
    if not live.utterances:
        return ""
    return f'<div class="mme">{timeline(live.utterances)}{scores(live.utterances)}</div>'
