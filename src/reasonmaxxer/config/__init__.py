"""One typed config a stage; those of a run are the recipe (`reasonmaxxer.recipe` reads one)."""

from reasonmaxxer.config.base import Config, Positive, Share
from reasonmaxxer.config.microscope import ATTENTION, DistillationConfig, MicroscopeConfig, ShapeConfig
from reasonmaxxer.config.run import (
    GATE_KNOBS,
    ONLINE,
    AdapterConfig,
    BaselineConfig,
    CostConfig,
    EvaluationConfig,
    GateConfig,
    GateKind,
    InspectionConfig,
    Method,
    ProblemsConfig,
    Recipe,
    RolloutsConfig,
    SignalConfig,
    TrainingConfig,
)
from reasonmaxxer.config.shared import (
    EngineConfig,
    Extraction,
    ModelConfig,
    Order,
    Percent,
    PromptStyle,
    RayConfig,
    SamplingConfig,
    SourceConfig,
    Units,
    VerifyConfig,
    VllmConfig,
)
from reasonmaxxer.config.suite import SuiteConfig

__all__ = [
    "ATTENTION", "GATE_KNOBS", "ONLINE", "AdapterConfig", "BaselineConfig", "Config", "CostConfig",
    "DistillationConfig", "EngineConfig", "EvaluationConfig", "Extraction", "GateConfig", "GateKind",
    "InspectionConfig", "Method", "MicroscopeConfig", "ModelConfig", "Order", "Percent", "Positive",
    "ProblemsConfig", "PromptStyle", "RayConfig", "Recipe", "RolloutsConfig", "SamplingConfig",
    "ShapeConfig", "Share", "SignalConfig", "SourceConfig", "SuiteConfig", "TrainingConfig", "Units",
    "VerifyConfig", "VllmConfig",
]  # fmt: skip
