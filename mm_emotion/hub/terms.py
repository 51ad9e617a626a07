"""What is known of the terms of each corpus: who gives it, whether prepared rows may be passed on, how to cite it."""

from dataclasses import dataclass

from mm_emotion.errors import RecipeError, nearest
from mm_emotion.training.recipe import Recipe

_DEMO = "demo/"  # recipes that are trained on the generated corpus alone

LICENSES = (
    *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "mpl-2.0", "isc"),
    *("cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0"),
    *("openrail", "odc-by", "odbl", "pddl", "unlicense", "other"),
)
"""Names by which the Hub knows licences, the common ones."""


@dataclass(frozen=True)
class CorpusTerms:
    """Terms of one corpus; `shared_as` is the licence under which its rows may be passed on, None if they may not."""

    title: str
    source: str
    terms: str
    shared_as: str | None
    citation: str


_AGREEMENT = "given to each user by agreement with its owners, for research; it may not be passed on"
CORPUS_TERMS = {
    "iemocap": CorpusTerms(
        "IEMOCAP",
        "https://sail.usc.edu/iemocap/",
        _AGREEMENT,
        None,
        "Busso et al. (2008). IEMOCAP: Interactive emotional dyadic motion capture database. "
        "Language Resources and Evaluation 42(4), 335-359.",
    ),
    "meld": CorpusTerms(
        "MELD",
        "https://affective-meld.github.io/",
        "annotations under GPL-3.0; words, sound and picture are those of a television series",
        "gpl-3.0",
        "Poria et al. (2019). MELD: A Multimodal Multi-Party Dataset for Emotion Recognition in Conversations. ACL.",
    ),
    "cmu_mosi": CorpusTerms(
        "CMU-MOSI",
        "http://multicomp.cs.cmu.edu/resources/cmu-mosi-dataset/",
        "for academic research; the videos belong to those who published them",
        None,
        "Zadeh et al. (2016). Multimodal sentiment intensity analysis in videos: facial gestures and verbal messages. "
        "IEEE Intelligent Systems 31(6), 82-88.",
    ),
    "cmu_mosei": CorpusTerms(
        "CMU-MOSEI",
        "http://multicomp.cs.cmu.edu/resources/cmu-mosei-dataset/",
        "for academic research; the videos belong to those who published them",
        None,
        "Zadeh et al. (2018). Multimodal language analysis in the wild: CMU-MOSEI dataset and interpretable dynamic "
        "fusion graph. ACL.",
    ),
    "mmmo": CorpusTerms(
        "ICT-MMMO",
        "http://multicomp.cs.cmu.edu/resources/ict-mmmo-dataset/",
        "for academic research; the videos belong to those who published them",
        None,
        "Wöllmer et al. (2013). YouTube movie reviews: sentiment analysis in an audio-visual context. "
        "IEEE Intelligent Systems 28(3), 46-53.",
    ),
    "semaine": CorpusTerms(
        "SEMAINE",
        "https://semaine-db.eu/",
        _AGREEMENT,
        None,
        "McKeown et al. (2012). The SEMAINE database: annotated multimodal records of emotionally colored "
        "conversations between a person and a limited agent. IEEE Transactions on Affective Computing 3(1), 5-17.",
    ),
    "sewa": CorpusTerms(
        "SEWA",
        "https://db.sewaproject.eu/",
        _AGREEMENT,
        None,
        "Kossaifi et al. (2021). SEWA DB: a rich database for audio-visual emotion and sentiment research in the wild. "
        "IEEE Transactions on Pattern Analysis and Machine Intelligence 43(3), 1022-1040.",
    ),
    "recola": CorpusTerms(
        "RECOLA",
        "https://diuf.unifr.ch/main/diva/recola/",
        _AGREEMENT,
        None,
        "Ringeval et al. (2013). Introducing the RECOLA multimodal corpus of remote collaborative and affective "
        "interactions. IEEE FG.",
    ),
    "ravdess": CorpusTerms(
        "RAVDESS",
        "https://zenodo.org/records/1188976",
        "CC BY-NC-SA 4.0",
        "cc-by-nc-sa-4.0",
        "Livingstone and Russo (2018). The Ryerson Audio-Visual Database of Emotional Speech and Song (RAVDESS). "
        "PLoS ONE 13(5), e0196391.",
    ),
    "emodb": CorpusTerms(
        "EmoDB",
        "http://emodb.bilderbar.info/",
        "free to download from its makers; no licence to pass it on is known here",
        None,
        "Burkhardt et al. (2005). A database of German emotional speech. Interspeech.",
    ),
}
"""Corpus name -> its terms as far as this package knows them; a user's own corpus has no line here."""

GENERATED = CorpusTerms(
    "a generated corpus in the layout of IEMOCAP",
    "python -m mm_emotion.data.miniature",
    "made up by a program, nobody's words or voice; figures on it say nothing of the real corpus",
    None,
    "generated, see mm_emotion",
)
"""What the recipes of the demo are trained on."""


def terms_of(recipe: Recipe) -> CorpusTerms | None:
    """What is known of the corpus of a recipe."""
    return GENERATED if recipe.name.startswith(_DEMO) else CORPUS_TERMS.get(recipe.corpus.name)


def corpus_of(recipe: Recipe) -> tuple[str, str]:
    """Name and title of the corpus of a recipe, as far as they are known here."""
    name, known = recipe.corpus.name, terms_of(recipe)
    return (f"generated_{name}" if known is GENERATED else name), (known.title if known else name)


@dataclass(frozen=True)
class Consent:
    """What the one who publishes states: a licence the Hub knows, and why the terms of the corpus allow publishing."""

    license: str
    corpus_terms: str


def consent(license: str | None, corpus_terms: str | None, corpus: str) -> Consent:
    """Both statements, or a RecipeError that says which is missing and what is known of the corpus."""
    known = CORPUS_TERMS.get(corpus)
    of_corpus = f"{known.title}: {known.terms}; see {known.source}" if known else f"nothing is known here of {corpus}"
    if license is None:
        raise RecipeError("--license", "the licence you publish under", "none", "one of " + ", ".join(LICENSES))
    if license not in LICENSES:
        raise RecipeError("--license", f"one of {', '.join(LICENSES)}", repr(license), nearest(license, LICENSES))
    if corpus_terms is None or not corpus_terms.strip():
        expected = "a sentence on what the terms of the corpus say of publishing this"
        raise RecipeError("--corpus-terms", expected, "none", of_corpus)
    return Consent(license, " ".join(corpus_terms.split()))
