"""The demo page: clips, words and conversations in, emotions on a timeline out (extra `demo`)."""

from mm_emotion.demo.page import build_page

__all__ = ["build_page"]
