"""From logits to results: averaging over views, per-video scores."""

from gcvideo.evaluation.scores import VideoScores as VideoScores
from gcvideo.evaluation.views import Average as Average
from gcvideo.evaluation.views import average_views as average_views
