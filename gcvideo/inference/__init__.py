"""Trained nets in use: loading checkpoints and classifying videos."""

from gcvideo.inference.checkpoint import Checkpoint as Checkpoint
from gcvideo.inference.checkpoint import CheckpointError as CheckpointError
from gcvideo.inference.checkpoint import configure_head as configure_head
from gcvideo.inference.checkpoint import read_checkpoint as read_checkpoint
from gcvideo.inference.checkpoint import write_checkpoint as write_checkpoint
from gcvideo.inference.classifier import Prediction as Prediction
from gcvideo.inference.classifier import TrainedClassifier as TrainedClassifier
from gcvideo.inference.classifier import load as load
from gcvideo.inference.published import load_checkpoint as load_checkpoint
from gcvideo.inference.published import make_checkpoint as make_checkpoint
from gcvideo.inference.published import published_checkpoint as published_checkpoint
