"""Publishing: model cards, pushes in one commit, what the terms of a corpus allow."""
