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
BROUGHT = {"text": [{"sad": 0.2}, {"happy": -0.1}], "audio": [{"sad": -0.001}, {"happy": 0.05}]}
AFFECT = [
    {"label": "valence", "score": 0.3, "scores": {"arousal": -0.5, "valence": 0.3}},
    {"label": "arousal", "score": 2.0, "scores": {"arousal": 2.0, "valence": 0.0}},
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
    reading = Reading(ROWS, BROUGHT, np.array([[1.0, 0.0], [0.25, 0.75]]))
    page = Checker(reading_html(reading))
    assert "<b>& you" in page.texts
    assert {"0.0 to 1.5 s", "A", "+0.20", "-0.10", "+0.00", "75", "Timeline", "1 sad", "2 happy"} <= set(page.texts)
    assert page.meters == [0.7, 0.3, 0.6, 0.4]


def test_a_piece_is_as_wide_as_its_utterance_is_long():
    page = reading_html(Reading(ROWS, {}, None))
    assert page.index("flex: 1.50") < page.index("flex: 3.00")
    assert "Attention" not in page
    assert "Contribution" not in page


def test_a_regression_has_a_line_a_dimension_and_no_label():
    page = Checker(reading_html(Reading(AFFECT, {"text": [{"arousal": 0.1, "valence": 0.2}] * 2}, None, True)))
    assert page.texts.count("+2.00") == 1
    assert [text.strip() for text in page.texts].count("-0.50") == 2  # on the line, and beside its bar
    assert not page.meters
    assert not {"emotion", "1 valence"} & set(page.texts)
    assert page.texts.count("arousal") == 1 + 2 + 2  # line, utterances, contributions
    halves = reading_html(Reading(AFFECT, {}, None, True))
    assert "left: 37.5%; width: 12.5%" in halves, "-0.5 of the 2.0 that is the end of the scale"


def test_the_newest_comes_first_where_asked():
    page = reading_html(Reading(ROWS, {}, None), newest_first=True)
    assert page.index("<td>2</td>") < page.index("<td>1</td>")
    assert page.index("1 sad") < page.index("2 happy"), "the timeline goes on in time"


def test_attention_over_a_long_conversation_is_left_out():
    assert "Attention" in reading_html(Reading(ROWS * 20, {}, np.eye(40)))
    assert "Attention" not in reading_html(Reading(ROWS * 21, {}, np.eye(42)))


def test_columns_without_content_are_left_out():
    page = Checker(reading_html(Reading([{"label": "sad", "score": 1.0, "scores": {"sad": 1.0}}], {}, None)))
    assert "emotion" in page.texts
    assert not {"time", "speaker", "words"} & set(page.texts)


def test_a_problem_is_an_alert():
    assert 'role="alert">a &lt;file&gt;<' in problem("a <file>")
    Checker(problem("a <file>"))
