"""The model. Importing this registers it with transformers' Auto classes, so no remote code is ever needed."""

from transformers import AutoConfig, AutoModelForCausalLM, AutoProcessor

from opendasheng.model.configuration import DashengConfig, MiDashengLMConfig
from opendasheng.model.encoder import DashengEncoder
from opendasheng.model.loading import load_dasheng_encoder
from opendasheng.model.mel import LogMel
from opendasheng.model.modeling import MiDashengLMModel
from opendasheng.model.processing import MiDashengLMProcessor
from opendasheng.model.projector import AudioProjector

AutoConfig.register(MiDashengLMConfig.model_type, MiDashengLMConfig, exist_ok=True)
AutoModelForCausalLM.register(MiDashengLMConfig, MiDashengLMModel, exist_ok=True)
AutoProcessor.register(MiDashengLMConfig, MiDashengLMProcessor, exist_ok=True)

__all__ = [
    "AudioProjector",
    "DashengConfig",
    "DashengEncoder",
    "LogMel",
    "MiDashengLMConfig",
    "MiDashengLMModel",
    "MiDashengLMProcessor",
    "load_dasheng_encoder",
]
