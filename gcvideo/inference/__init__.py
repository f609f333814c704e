"""Loading of checkpoints, classification of videos, and export."""

from gcvideo.inference._batch import classify_videos as classify_videos
from gcvideo.inference._checkpoint import Checkpoint as Checkpoint
from gcvideo.inference._checkpoint import CheckpointError as CheckpointError
from gcvideo.inference._checkpoint import clip_classifier as clip_classifier
from gcvideo.inference._checkpoint import configure_head as configure_head
from gcvideo.inference._checkpoint import read_checkpoint as read_checkpoint
from gcvideo.inference._checkpoint import write_checkpoint as write_checkpoint
from gcvideo.inference._classifier import TrainedClassifier as TrainedClassifier
from gcvideo.inference._contact_sheet import write_contact_sheet as write_contact_sheet
from gcvideo.inference._export import export_classifier as export_classifier
from gcvideo.inference._feature import feature_maps as feature_maps
from gcvideo.inference._feature import features as features
from gcvideo.inference._live import LiveScores as LiveScores
from gcvideo.inference._live import classify_live as classify_live
from gcvideo.inference._loading import load as load
from gcvideo.inference._model_card import ModelCard as ModelCard
from gcvideo.inference._overlay import annotate_video as annotate_video
from gcvideo.inference._overlay import draw_scores as draw_scores
from gcvideo.inference._prediction import Prediction as Prediction
from gcvideo.inference._sliding_window import WindowScores as WindowScores
from gcvideo.inference._sliding_window import classify_windows as classify_windows
from gcvideo.inference._sliding_window import merge_segments as merge_segments
from gcvideo.inference.engine._engine import EngineModel as EngineModel
from gcvideo.inference.engine._engine import engine_model as engine_model
from gcvideo.inference.engine._int8 import quantized_model as quantized_model
from gcvideo.inference.engine._tracing import GraphError as GraphError
