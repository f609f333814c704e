"""From logits to results: averages over views, scores per video, and accuracy."""

from gcvideo.evaluation._scores import VideoScores as VideoScores
from gcvideo.evaluation._views import Average as Average
from gcvideo.evaluation._views import average_views as average_views
