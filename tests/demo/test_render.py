"""A reading as HTML: well formed, escaped, with the words of every table."""

from html.parser import HTMLParser

import numpy as np

from mm_emotion.demo.reading import Reading
from mm_emotion.demo.render import problem, reading_html

ROWS = [
    {
        **{"text": "<b>& you", "speaker": "A", "start": 0.0, "end": 1.5},
        **{"label": "sad", "score": 0.7, "scores": {"happy": 0.3, "sad": 0.7}},
    },
    {
        **{"text": "no", "speaker": "B", "start": 1.5, "end": 4.5},
        **{"label": "happy", "score": 0.6, "scores": {"happy": 0.6, "sad": 0.4}},
    },
]


class Checker(HTMLParser):
    """Every opened tag is closed in its turn."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.meters = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        if tag == "meter":
            self.meters.append(float(dict(attrs)["value"]))
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_everything_is_shown_and_escaped():
    reading = Reading(ROWS, {"text": [0.2, -0.1], "audio": [0.0, 0.05]}, np.array([[1.0, 0.0], [0.25, 0.75]]))
    page = Checker(reading_html(reading))
    assert "<b>& you" in page.texts
    assert {"0.0 to 1.5 s", "A", "+0.20", "-0.10", "75", "Timeline"} <= set(page.texts)
    assert page.meters == [0.7, 0.3, 0.6, 0.4]


def test_a_piece_is_as_wide_as_its_utterance_is_long():
    page = reading_html(Reading(ROWS, {}, None))
    assert page.index("flex: 1.50") < page.index("flex: 3.00")
    assert "Attention" not in page
    assert "Contribution" not in page


def test_columns_without_content_are_left_out():
    page = Checker(reading_html(Reading([{"label": "sad", "score": 1.0, "scores": {"sad": 1.0}}], {}, None)))
    assert "emotion" in page.texts
    assert not {"time", "speaker", "words"} & set(page.texts)


def test_a_problem_is_an_alert():
    assert 'role="alert">a &lt;file&gt;<' in problem("a <file>")
    Checker(problem("a <file>"))
