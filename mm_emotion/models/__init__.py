"""All model families; importing this registers each with the Auto classes of transformers."""

from transformers import AutoConfig, AutoModel

from mm_emotion.models.affect_dnn.configuration_affect_dnn import AffectDNNConfig
from mm_emotion.models.affect_dnn.modeling_affect_dnn import AffectDNNForEmotionRecognition
from mm_emotion.models.audio_dense.configuration_audio_dense import AudioDenseConfig
from mm_emotion.models.audio_dense.modeling_audio_dense import AudioDenseForEmotionRecognition
from mm_emotion.models.bc_lstm.configuration_bc_lstm import BCLSTMConfig
from mm_emotion.models.bc_lstm.modeling_bc_lstm import BCLSTMForEmotionRecognition
from mm_emotion.models.clstm.configuration_clstm import CLSTMConfig
from mm_emotion.models.clstm.modeling_clstm import CLSTMForEmotionRecognition
from mm_emotion.models.cmn.configuration_cmn import CMNConfig
from mm_emotion.models.cmn.modeling_cmn import CMNForEmotionRecognition
from mm_emotion.models.dialogue_rnn.configuration_dialogue_rnn import DialogueRNNConfig
from mm_emotion.models.dialogue_rnn.modeling_dialogue_rnn import DialogueRNNForEmotionRecognition
from mm_emotion.models.early_fusion.configuration_early_fusion import EarlyFusionConfig
from mm_emotion.models.early_fusion.modeling_early_fusion import EarlyFusionForEmotionRecognition
from mm_emotion.models.hierarchical.configuration_hierarchical import HierarchicalConfig
from mm_emotion.models.hierarchical.modeling_hierarchical import HierarchicalForEmotionRecognition
from mm_emotion.models.icon.configuration_icon import ICONConfig
from mm_emotion.models.icon.modeling_icon import ICONForEmotionRecognition
from mm_emotion.models.joint.configuration_joint import JointConfig
from mm_emotion.models.joint.modeling_joint import JointForEmotionRecognition
from mm_emotion.models.late_fusion.configuration_late_fusion import LateFusionConfig
from mm_emotion.models.late_fusion.modeling_late_fusion import LateFusionForEmotionRecognition
from mm_emotion.models.linear.configuration_linear import LinearConfig
from mm_emotion.models.linear.modeling_linear import LinearForEmotionRecognition
from mm_emotion.models.memnet.configuration_memnet import MemnetConfig
from mm_emotion.models.memnet.modeling_memnet import MemnetForEmotionRecognition
from mm_emotion.models.mfn.configuration_mfn import MFNConfig
from mm_emotion.models.mfn.modeling_mfn import MFNForEmotionRecognition
from mm_emotion.models.pretrained_encoder.configuration_pretrained_encoder import PretrainedEncoderConfig
from mm_emotion.models.pretrained_encoder.modeling_pretrained_encoder import PretrainedEncoderForEmotionRecognition
from mm_emotion.models.sequence_stack.configuration_sequence_stack import SequenceStackConfig
from mm_emotion.models.sequence_stack.modeling_sequence_stack import SequenceStackForEmotionRecognition
from mm_emotion.models.text_cnn.configuration_text_cnn import TextCNNConfig
from mm_emotion.models.text_cnn.modeling_text_cnn import TextCNNForEmotionRecognition
from mm_emotion.models.text_te.configuration_text_te import TextTEConfig
from mm_emotion.models.text_te.modeling_text_te import TextTEForEmotionRecognition
from mm_emotion.models.tfn.configuration_tfn import TFNConfig
from mm_emotion.models.tfn.modeling_tfn import TFNForEmotionRecognition
from mm_emotion.models.video_cnn3d.configuration_video_cnn3d import VideoCNN3DConfig
from mm_emotion.models.video_cnn3d.modeling_video_cnn3d import VideoCNN3DForEmotionRecognition

MODELS = [
    (TextCNNConfig, TextCNNForEmotionRecognition),
    (TextTEConfig, TextTEForEmotionRecognition),
    (AudioDenseConfig, AudioDenseForEmotionRecognition),
    (VideoCNN3DConfig, VideoCNN3DForEmotionRecognition),
    (SequenceStackConfig, SequenceStackForEmotionRecognition),
    (PretrainedEncoderConfig, PretrainedEncoderForEmotionRecognition),
    (BCLSTMConfig, BCLSTMForEmotionRecognition),
    (CLSTMConfig, CLSTMForEmotionRecognition),
    (MemnetConfig, MemnetForEmotionRecognition),
    (CMNConfig, CMNForEmotionRecognition),
    (ICONConfig, ICONForEmotionRecognition),
    (DialogueRNNConfig, DialogueRNNForEmotionRecognition),
    (AffectDNNConfig, AffectDNNForEmotionRecognition),
    (HierarchicalConfig, HierarchicalForEmotionRecognition),
    (EarlyFusionConfig, EarlyFusionForEmotionRecognition),
    (JointConfig, JointForEmotionRecognition),
    (LateFusionConfig, LateFusionForEmotionRecognition),
    (LinearConfig, LinearForEmotionRecognition),
    (MFNConfig, MFNForEmotionRecognition),
    (TFNConfig, TFNForEmotionRecognition),
]
"""Each family as (configuration, model); the model has the emotion head, so that AutoModel yields logits."""

for _config, _model in MODELS:
    AutoConfig.register(_config.model_type, _config, exist_ok=True)
    AutoModel.register(_config, _model, exist_ok=True)

__all__ = ["MODELS", *sorted(cls.__name__ for pair in MODELS for cls in pair)]
