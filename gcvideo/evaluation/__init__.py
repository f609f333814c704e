"""From logits to results: averages over views, scores per video, accuracy, confusion, calibration."""

from gcvideo.evaluation._calibration import Calibration as Calibration
from gcvideo.evaluation._calibration import calibration as calibration
from gcvideo.evaluation._confusion import ConfusedPair as ConfusedPair
from gcvideo.evaluation._confusion import confusion_matrix as confusion_matrix
from gcvideo.evaluation._confusion import most_confused_classes as most_confused_classes
from gcvideo.evaluation._confusion import most_confused_pairs as most_confused_pairs
from gcvideo.evaluation._confusion import normalized_by_class as normalized_by_class
from gcvideo.evaluation._scores import VideoScores as VideoScores
from gcvideo.evaluation._views import Average as Average
from gcvideo.evaluation._views import average_views as average_views
