import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mm_emotion.errors import BatchError, ConfigError
from mm_emotion.models import VideoCNN3DConfig, VideoCNN3DForEmotionRecognition
from mm_emotion.models.video_cnn3d.configuration_video_cnn3d import training_bytes

TINY = {"frames": 5, "height": 6, "width": 7, "num_filters": 3, "kernel_size": 2, "pool_size": 2, "hidden_size": 4}


def build(**options):
    torch.manual_seed(0)
    return VideoCNN3DForEmotionRecognition(VideoCNN3DConfig(**{**TINY, **options}))


@pytest.mark.parametrize("size", [(15, 480, 180), (8, 480, 528), (16, 242, 266)])
def test_published_parameter_count(size):
    shape = dict(zip(("frames", "height", "width"), size, strict=True))
    with torch.device("meta"):
        model = VideoCNN3DForEmotionRecognition(VideoCNN3DConfig(num_labels=6, **shape))
    assert sum(parameter.numel() for parameter in model.parameters()) == model.config.num_weights == 351_946_434


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"modality_dims": {"visual": 3}}, "modality_dims"),
        ({"input_dropout": 0.1}, "input_dropout"),
        ({"frames": 2}, "frames"),
        ({"width": 2}, "width"),
        ({"kernel_size": 0}, "kernel_size"),
    ],
)
def test_impossible_configurations(options, field):
    with pytest.raises(ConfigError) as error:
        VideoCNN3DConfig(**{**TINY, **options})
    assert error.value.field == field


def test_a_clip_of_another_size_is_refused():
    with pytest.raises(BatchError, match="visual"):
        build()(visual=torch.rand(1, 1, 3, 5, 6, 8))


def gradients(model, clips):
    model.zero_grad()
    model(visual=clips).logits.square().sum().backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def test_checkpointing_convolves_clip_by_clip_to_the_same_gradients():
    model, clips = build().train(), torch.rand(2, 2, 3, 5, 6, 7)
    seen = []
    model.block.convolution.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    expected = gradients(model, clips)
    assert seen == [4]
    seen.clear()
    model.activation_checkpointing_enable()
    found = gradients(model, clips)
    assert seen == [1] * 8  # once forward and once again in the backward pass
    for name in expected:
        torch.testing.assert_close(found[name], expected[name])
    seen.clear()
    model.eval()(visual=clips)
    assert seen == [4]


def test_checkpointing_by_configuration_is_not_part_of_a_saved_model(tmp_path):
    model = build(gradient_checkpointing=True)
    assert model.block.gradient_checkpointing
    model.save_pretrained(tmp_path)
    assert not VideoCNN3DForEmotionRecognition.from_pretrained(tmp_path).block.gradient_checkpointing


class Peak(TorchDispatchMode):
    """Most bytes that the tensors made under it held at one time."""

    def __init__(self):
        super().__init__()
        self.now = self.most = 0
        self.known = weakref.WeakKeyDictionary()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage() not in self.known:
                storage = tensor.untyped_storage()
                self.known[storage] = True
                self.now += storage.nbytes()
                weakref.finalize(storage, self.released, storage.nbytes())
        self.most = max(self.most, self.now)
        return made

    def released(self, size):
        self.now -= size


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("half", [False, True])
def test_memory_of_a_step(half, checkpointing):
    """The formula against what a small step really holds, beside the weights, gradients and moments."""
    sizes = {"frames": 6, "height": 26, "width": 20, "num_filters": 16, "kernel_size": 3, "pool_size": 2}
    model = build(**sizes, hidden_size=2).train()
    if checkpointing:
        model.activation_checkpointing_enable()
    clips, config = torch.rand(4, 1, 3, 6, 26, 20), model.config
    state = 4 * 4 * config.num_weights
    with Peak() as peak, torch.autocast("cpu", torch.bfloat16, enabled=half):
        loss = model(visual=clips).logits.square().sum()
        loss.backward()
    held = peak.most - 4 * config.num_weights + 4 * clips.numel()  # its gradients are in the state, the clips are not
    assert held == pytest.approx(training_bytes(config, 4, half, checkpointing) - state, rel=0.2)


def test_memory_of_the_published_clip():
    published = VideoCNN3DConfig(num_labels=6)
    assert round(training_bytes(published, 1) / 1e9, 1) == 7.1
    assert round(training_bytes(published, 8) / 1e9, 1) == 17.4
    assert round(training_bytes(published, 32, checkpointing=True) / 1e9, 1) == 8.9
