"""One typed config a stage and a command; those of a run are the recipe. `reasonmaxxer.recipe` reads them."""

from reasonmaxxer.config.base import Code, Config, Positive, Share
from reasonmaxxer.config.microscope import (
    ATTENTION,
    DistillationConfig,
    InterveneConfig,
    MicroscopeConfig,
    OverlapConfig,
    ShapeConfig,
)
from reasonmaxxer.config.run import (
    GATE_KNOBS,
    ONLINE,
    AdapterConfig,
    AdvantageName,
    BaselineConfig,
    CostConfig,
    EvaluationConfig,
    GateConfig,
    GateKind,
    InspectionConfig,
    Method,
    ObjectiveName,
    ProblemsConfig,
    Recipe,
    RolloutsConfig,
    SignalConfig,
    TrainingConfig,
)
from reasonmaxxer.config.shared import (
    EngineConfig,
    Extraction,
    IntervalConfig,
    MeasuringConfig,
    ModelConfig,
    OptimizerConfig,
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
from reasonmaxxer.config.suite import MeasuredSource, PowerConfig, SuiteConfig

__all__ = [
    "ATTENTION", "GATE_KNOBS", "ONLINE", "AdapterConfig", "AdvantageName", "BaselineConfig", "Code", "Config",
    "CostConfig", "DistillationConfig", "EngineConfig", "EvaluationConfig", "Extraction", "GateConfig", "GateKind",
    "InspectionConfig", "IntervalConfig", "InterveneConfig", "MeasuredSource", "MeasuringConfig", "Method",
    "MicroscopeConfig", "ModelConfig", "ObjectiveName", "OptimizerConfig", "Order", "OverlapConfig", "Percent",
    "Positive", "PowerConfig", "ProblemsConfig", "PromptStyle", "RayConfig", "Recipe", "RolloutsConfig",
    "SamplingConfig", "ShapeConfig", "Share", "SignalConfig", "SourceConfig", "SuiteConfig", "TrainingConfig",
    "Units", "VerifyConfig", "VllmConfig",
]  # fmt: skip
