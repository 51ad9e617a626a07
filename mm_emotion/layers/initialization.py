"""Weights as Keras starts them, for systems whose paper used it."""

from torch import nn
from transformers import initialization as init

from mm_emotion.layers.recurrent import OneBiasLSTM

EMBEDDING_BOUND = 0.05


def keras_initialization(module: nn.Module) -> bool:
    """Start a module as Keras would, sparing loaded weights; False where the module's own start is the one.

    Dense and convolution: Glorot uniform, zero bias. Embedding: uniform in ±0.05. LSTM: Glorot uniform kernel,
    orthogonal recurrent kernel, zero bias but 1 at the forget gate.
    """
    if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
        init.xavier_uniform_(module.weight)
        if module.bias is not None:
            init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        init.uniform_(module.weight, -EMBEDDING_BOUND, EMBEDDING_BOUND)
    elif isinstance(module, OneBiasLSTM):
        init.xavier_uniform_(module.weight_ih_l0)
        init.orthogonal_(module.weight_hh_l0)
        bias = module.bias_ih_l0.new_zeros(4, module.hidden_size)
        bias[1] = 1  # gates stand in the order input, forget, candidate, output
        init.copy_(module.bias_ih_l0, bias.flatten())
        init.zeros_(module.bias_hh_l0)
    else:
        return False
    return True
