"""The settings of a training, in plain types."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gcvideo.training import BatchNormMode


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """What a training reads from its configuration besides the parts built from it."""

    folder: Path
    resume: str | None
    model_name: str
    num_frames: int
    crop_size: int
    batch_size: int
    clips_per_video: int
    is_mixed: bool
    batch_norm_mode: BatchNormMode
    batch_norm_group_size: int | None
    precise_batches: int
    val_precision: str
    protocol: dict[str, Any]
    num_moments: int  # running values that the optimizer keeps for each trained parameter
    has_ema: bool

    @classmethod
    def of(cls, cfg: DictConfig) -> "TrainingSettings":
        """From a configuration that data and machine have settled."""
        protocol: Any = OmegaConf.to_container(cfg.protocol, resolve=True)
        return cls(
            folder=Path(cfg.output_dir),
            resume=cfg.resume,
            model_name=cfg.model.name,
            num_frames=cfg.num_frames,
            crop_size=cfg.crop_size,
            batch_size=cfg.batch_size,
            clips_per_video=cfg.clips_per_video,
            is_mixed=cfg.mixing is not None,
            batch_norm_mode=cfg.batch_norm.mode,
            batch_norm_group_size=cfg.batch_norm.group_size,
            precise_batches=cfg.batch_norm.precise_batches,
            val_precision=cfg.val_precision,
            protocol=protocol,
            num_moments=2 if "adam" in cfg.optimizer._target_.lower() else 1,
            has_ema=cfg.ema is not None,
        )
