"""From a file of weights to a net: names, conversion, published weights and their download."""

from gcvideo.weights._architecture import Architecture as Architecture
from gcvideo.weights._conversion import Conversion as Conversion
from gcvideo.weights._conversion import convert as convert
from gcvideo.weights._conversion import convert_context_block as convert_context_block
from gcvideo.weights._naming import Inflation as Inflation
from gcvideo.weights._naming import convert_state_dict as convert_state_dict
from gcvideo.weights._net_choice import NetChoice as NetChoice
from gcvideo.weights._state_file import WeightsError as WeightsError
from gcvideo.weights._weight_source import checkpoint_weights as checkpoint_weights
from gcvideo.weights._weight_source import published_weights as published_weights
from gcvideo.weights._weights import LoadReport as LoadReport
from gcvideo.weights._weights import Weights as Weights
from gcvideo.weights._weights import load_weights as load_weights
from gcvideo.weights._zoo import ZOO as ZOO
from gcvideo.weights._zoo import PublishedWeights as PublishedWeights
