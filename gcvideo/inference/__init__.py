"""Trained nets in use: loading checkpoints and classifying videos."""

from gcvideo.inference.batch import classify_videos as classify_videos
from gcvideo.inference.checkpoint import Checkpoint as Checkpoint
from gcvideo.inference.checkpoint import CheckpointError as CheckpointError
from gcvideo.inference.checkpoint import configure_head as configure_head
from gcvideo.inference.checkpoint import read_checkpoint as read_checkpoint
from gcvideo.inference.checkpoint import write_checkpoint as write_checkpoint
from gcvideo.inference.classifier import Prediction as Prediction
from gcvideo.inference.classifier import TrainedClassifier as TrainedClassifier
from gcvideo.inference.classifier import load as load
from gcvideo.inference.contact_sheet import write_contact_sheet as write_contact_sheet
from gcvideo.inference.export import export_classifier as export_classifier
from gcvideo.inference.graph_file import ExportError as ExportError
from gcvideo.inference.live import LiveScores as LiveScores
from gcvideo.inference.live import classify_live as classify_live
from gcvideo.inference.overlay import annotate_video as annotate_video
from gcvideo.inference.overlay import draw_scores as draw_scores
from gcvideo.inference.published import load_checkpoint as load_checkpoint
from gcvideo.inference.published import make_checkpoint as make_checkpoint
from gcvideo.inference.published import published_checkpoint as published_checkpoint
from gcvideo.inference.segment import Segment as Segment
from gcvideo.inference.segment import merge_segments as merge_segments
from gcvideo.inference.sliding_window import WindowScores as WindowScores
from gcvideo.inference.sliding_window import classify_windows as classify_windows
