"""One and the same checkpoint evaluated, and trained without dropout, on as many processes as torchrun starts."""

import sys
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parent))

from conftest import make_corpus
from test_loop import TEXT

from mm_emotion.data.collator import EmotionCollator
from mm_emotion.data.corpus import DialogueDataset
from mm_emotion.training.evaluation import predict
from mm_emotion.training.loop import train
from mm_emotion.training.recipe import parse_recipe
from mm_emotion.training.stages import build_model

folder = Path(sys.argv[1])
accelerator = Accelerator(cpu=True)
recipe = parse_recipe(
    TEXT, "test", ["model.dropout=0", "model.emotion_dropout=0", "model.recurrent_dropout=0", "training.batch_size=5"]
)
dataset = DialogueDataset(make_corpus(), unit="dialogue", columns=["text"])
torch.manual_seed(0)
model = build_model(recipe, class_weights=[1.0, 2.0, 0.5, 1.0, 3.0, 1.0])
evaluated = torch.from_numpy(predict(model, dataset, EmotionCollator(2), accelerator=accelerator).logits)
train(
    model, dataset, {"validation": dataset}, recipe.training, seed=1, folder=folder, accelerator=accelerator,
    collator=EmotionCollator(2), progress_bar=False,
)  # fmt: skip
if accelerator.is_main_process:
    save_file({**model.state_dict(), "evaluated": evaluated}, folder / "result.safetensors")
accelerator.wait_for_everyone()
accelerator.end_training()
