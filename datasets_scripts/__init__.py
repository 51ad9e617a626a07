"""Raw corpus folders -> prepared utterance tables: one `datasets` builder per corpus, each runnable as a module."""
