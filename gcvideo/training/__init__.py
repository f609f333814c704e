"""Training on Lightning: the module, parameter groups, schedules and callbacks."""

from gcvideo.training.bad_videos import BadVideos as BadVideos
from gcvideo.training.callbacks import EpochLine as EpochLine
from gcvideo.training.callbacks import FiniteLoss as FiniteLoss
from gcvideo.training.callbacks import LearningCurve as LearningCurve
from gcvideo.training.callbacks import Throughput as Throughput
from gcvideo.training.classifier import VideoClassifier as VideoClassifier
from gcvideo.training.classifier import accuracy_metrics as accuracy_metrics
from gcvideo.training.optim import parameter_groups as parameter_groups
from gcvideo.training.optim import scaled_lr as scaled_lr
from gcvideo.training.progress import ProgressBar as ProgressBar
from gcvideo.training.schedule import Schedule as Schedule
from gcvideo.training.schedule import WarmupCosine as WarmupCosine
from gcvideo.training.schedule import WarmupSteps as WarmupSteps
