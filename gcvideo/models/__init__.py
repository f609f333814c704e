"""Nets for video: builders, placement of context blocks, weights, cost."""

from gcvideo.models.classifier import ClipClassifier as ClipClassifier
from gcvideo.models.cost import BlockCost as BlockCost
from gcvideo.models.cost import Cost as Cost
from gcvideo.models.cost import count_cost as count_cost
from gcvideo.models.head import Head as Head
from gcvideo.models.head import HeadMode as HeadMode
from gcvideo.models.inflation import imagenet_weights as imagenet_weights
from gcvideo.models.inflation import inflate_torchvision as inflate_torchvision
from gcvideo.models.insertion import InsertedBlock as InsertedBlock
from gcvideo.models.insertion import insert_blocks as insert_blocks
from gcvideo.models.insertion import inserted_blocks as inserted_blocks
from gcvideo.models.insertion import stages_of as stages_of
from gcvideo.models.placement import Placement as Placement
from gcvideo.models.placement import Stage as Stage
from gcvideo.models.resnet import c2d_resnet as c2d_resnet
from gcvideo.models.resnet import i3d_resnet as i3d_resnet
from gcvideo.models.resnet import slow_resnet as slow_resnet
from gcvideo.models.weights import LoadReport as LoadReport
from gcvideo.models.weights import Weights as Weights
from gcvideo.models.weights import WeightsError as WeightsError
from gcvideo.models.weights import checkpoint_weights as checkpoint_weights
from gcvideo.models.weights import load_weights as load_weights
