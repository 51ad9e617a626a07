"""All model families; importing this registers each with the Auto classes of transformers."""

from transformers import AutoConfig, AutoModel

from mm_emotion.models.affect_dnn.configuration_affect_dnn import AffectDNNConfig
from mm_emotion.models.affect_dnn.modeling_affect_dnn import AffectDNNForEmotionRecognition
from mm_emotion.models.bc_lstm.configuration_bc_lstm import BCLSTMConfig
from mm_emotion.models.bc_lstm.modeling_bc_lstm import BCLSTMForEmotionRecognition
from mm_emotion.models.clstm.configuration_clstm import CLSTMConfig
from mm_emotion.models.clstm.modeling_clstm import CLSTMForEmotionRecognition
from mm_emotion.models.cmn.configuration_cmn import CMNConfig
from mm_emotion.models.cmn.modeling_cmn import CMNForEmotionRecognition
from mm_emotion.models.dialogue_rnn.configuration_dialogue_rnn import DialogueRNNConfig
from mm_emotion.models.dialogue_rnn.modeling_dialogue_rnn import DialogueRNNForEmotionRecognition
from mm_emotion.models.hierarchical.configuration_hierarchical import HierarchicalConfig
from mm_emotion.models.hierarchical.modeling_hierarchical import HierarchicalForEmotionRecognition
from mm_emotion.models.icon.configuration_icon import ICONConfig
from mm_emotion.models.icon.modeling_icon import ICONForEmotionRecognition
from mm_emotion.models.memnet.configuration_memnet import MemnetConfig
from mm_emotion.models.memnet.modeling_memnet import MemnetForEmotionRecognition
from mm_emotion.models.text_cnn.configuration_text_cnn import TextCNNConfig
from mm_emotion.models.text_cnn.modeling_text_cnn import TextCNNForEmotionRecognition

MODELS = [
    (TextCNNConfig, TextCNNForEmotionRecognition),
    (BCLSTMConfig, BCLSTMForEmotionRecognition),
    (CLSTMConfig, CLSTMForEmotionRecognition),
    (MemnetConfig, MemnetForEmotionRecognition),
    (CMNConfig, CMNForEmotionRecognition),
    (ICONConfig, ICONForEmotionRecognition),
    (DialogueRNNConfig, DialogueRNNForEmotionRecognition),
    (AffectDNNConfig, AffectDNNForEmotionRecognition),
    (HierarchicalConfig, HierarchicalForEmotionRecognition),
]
"""Each family as (configuration, model); the model has the emotion head, so that AutoModel yields logits."""

for _config, _model in MODELS:
    AutoConfig.register(_config.model_type, _config, exist_ok=True)
    AutoModel.register(_config, _model, exist_ok=True)

__all__ = ["MODELS", *sorted(cls.__name__ for pair in MODELS for cls in pair)]
