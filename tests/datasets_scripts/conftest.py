"""A miniature IEMOCAP release: two sessions, two dialogues, one recording each."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

IMPRO, SCRIPT = "Ses01F_impro01", "Ses02M_script01_1b"

SUMMARIES = {
    IMPRO: """% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[1.2500 - 2.5000]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 3.0000]
C-E2:\tNeutral;\t()
C-E3:\tNeutral; Anger;\t(made up)
C-F1:\tSadness;\t(an actor on herself)
A-E3:\tval 3; act 2; dom  2;\t()

[6.0000 - 7.0000]\tSes01F_impro01_F001\txxx\t[3.0000, 3.5000, 2.0000]
C-E2:\tHappiness;\t()
C-E3:\tExcited;\t()

[2.0000 - 3.0000]\tSes01F_impro01_M000\texc\t[4.0000, 4.0000, nan]
C-E2:\tExcited;\t()
C-E4:\tExcited;\t()
""",
    SCRIPT: """% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[5.0000 - 6.0000]\tSes02M_script01_1b_F000\thap\t[4.0000, 3.0000, 3.0000]
C-E2:\tHappiness;\t()

[5.0000 - 5.5000]\tSes02M_script01_1b_M000\tang\t[1.0000, 5.0000, 4.5000]
C-E2:\tAnger;\t()
""",
}

TRANSCRIPTIONS = {
    IMPRO: """Ses01F_impro01_F000 [001.2500-002.5000]: First words.
M: Mm.
Ses01F_impro01_M000 [002.0000-003.0000]: Second, with 'marks': here.
Ses01F_impro01_MXX0 [003.5000-003.9000]: Nobody rated this.
Ses01F_impro01_F001 [006.0000-007.0000]: Third words.
""",
    SCRIPT: """Ses02M_script01_1b_M000 [005.0000-005.5000]: Fourth words.
Ses02M_script01_1b_F000 [005.0000-006.0000]: Fifth words.
""",
}

RATERS = {
    f"{IMPRO}_e2": """Ses01F_impro01_F000 :Neutral state; ()
Ses01F_impro01_F001 :Happiness; ()
Ses01F_impro01_M000 :Frustration; ()
""",
    f"{IMPRO}_e3": """Ses01F_impro01_F000 :Neutral state; :Anger; (made up)
Ses01F_impro01_F001 :Excited; ()
""",
    f"{SCRIPT}_e2": """Ses02M_script01_1b_F000 :Happiness; ()
Ses02M_script01_1b_M000 :Anger; ()
""",
}


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def release(tmp_path: Path) -> Path:
    root = tmp_path / "IEMOCAP_full_release"
    for session, dialogue in (("Session1", IMPRO), ("Session2", SCRIPT)):
        folder = root / session
        write(folder / "dialog/EmoEvaluation" / f"{dialogue}.txt", SUMMARIES[dialogue])
        # Archives made on a Mac carry such companions.
        write(folder / "dialog/EmoEvaluation" / f"._{dialogue}.txt", "not a summary")
        write(folder / "dialog/transcriptions" / f"{dialogue}.txt", TRANSCRIPTIONS[dialogue])
        for name, text in RATERS.items():
            if name.startswith(dialogue):
                write(folder / "dialog/EmoEvaluation/Categorical" / f"{name}_cat.txt", text)
        recording = folder / "sentences/wav" / dialogue / f"{dialogue}_F000.wav"
        recording.parent.mkdir(parents=True)
        soundfile.write(recording, np.zeros(160, dtype=np.float32), 16000)
    write(root / "Session1/dialog/avi/DivX" / f"{IMPRO}.avi", "a video")
    write(root / "Session1/sentences/MOCAP_head" / IMPRO / f"{IMPRO}_F000.txt", "a motion track")
    return root
