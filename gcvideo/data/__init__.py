"""Videos from files to views: annotations, decoding, sampling, protocols, transforms, loaders."""

from typing import TYPE_CHECKING

from gcvideo.data.annotation import VIDEO_SUFFIXES as VIDEO_SUFFIXES
from gcvideo.data.annotation import Annotations as Annotations
from gcvideo.data.annotation import read_annotations as read_annotations
from gcvideo.data.annotation import read_classes as read_classes
from gcvideo.data.annotation import stratified_split as stratified_split
from gcvideo.data.checking import VideoCheck as VideoCheck
from gcvideo.data.checking import check_video as check_video
from gcvideo.data.container import VideoReadError as VideoReadError
from gcvideo.data.crop import CropLayout as CropLayout
from gcvideo.data.crop import MMActionCrops as MMActionCrops
from gcvideo.data.crop import NonLocalCrops as NonLocalCrops
from gcvideo.data.crop import SlowFastCrops as SlowFastCrops
from gcvideo.data.crop import Window as Window
from gcvideo.data.cue import cue_videos as cue_videos
from gcvideo.data.deadline import run_within as run_within
from gcvideo.data.decoding import VideoReader as VideoReader
from gcvideo.data.decoding import probe as probe
from gcvideo.data.decoding import read_frames as read_frames
from gcvideo.data.encoding import rewrite_video as rewrite_video
from gcvideo.data.encoding import write_video as write_video
from gcvideo.data.failure import BadVideosError as BadVideosError
from gcvideo.data.failure import VideoProblem as VideoProblem
from gcvideo.data.failure import describe_problems as describe_problems
from gcvideo.data.failure import write_bad_videos as write_bad_videos
from gcvideo.data.frame_index import FrameIndex as FrameIndex
from gcvideo.data.frame_index import index_path as index_path
from gcvideo.data.frame_index import write_index as write_index
from gcvideo.data.index_entry import IndexEntry as IndexEntry
from gcvideo.data.index_entry import index_video as index_video
from gcvideo.data.list_file import check_listable as check_listable
from gcvideo.data.list_file import write_list as write_list
from gcvideo.data.list_file import write_table as write_table
from gcvideo.data.list_file import write_text as write_text
from gcvideo.data.mmaction_sampling import MMActionDenseSampling as MMActionDenseSampling
from gcvideo.data.mmaction_sampling import MMActionSampling as MMActionSampling
from gcvideo.data.mmaction_sampling import MMActionSegmentSampling as MMActionSegmentSampling
from gcvideo.data.mmaction_sampling import MMActionUniformSampling as MMActionUniformSampling
from gcvideo.data.multigrid import ClipShape as ClipShape
from gcvideo.data.multigrid import Multigrid as Multigrid
from gcvideo.data.multigrid import MultigridSchedule as MultigridSchedule
from gcvideo.data.nonlocal_sampling import NonLocalSampling as NonLocalSampling
from gcvideo.data.parallel import ProcessDiedError as ProcessDiedError
from gcvideo.data.parallel import parallel_map as parallel_map
from gcvideo.data.protocol import EvaluationProtocol as EvaluationProtocol
from gcvideo.data.pytorchvideo_sampling import PyTorchVideoSampling as PyTorchVideoSampling
from gcvideo.data.reencoding import Reencoding as Reencoding
from gcvideo.data.reencoding import reencode_video as reencode_video
from gcvideo.data.resizing import MMActionResizing as MMActionResizing
from gcvideo.data.resizing import NonLocalResizing as NonLocalResizing
from gcvideo.data.resizing import Resizing as Resizing
from gcvideo.data.resizing import SlowFastReaderResizing as SlowFastReaderResizing
from gcvideo.data.resizing import SlowFastResizing as SlowFastResizing
from gcvideo.data.resizing import TorchvisionResizing as TorchvisionResizing
from gcvideo.data.sample_list import PathList as PathList
from gcvideo.data.sampling import ClipSampling as ClipSampling
from gcvideo.data.sampling import ClipSpec as ClipSpec
from gcvideo.data.sampling import WholeVideoSampling as WholeVideoSampling
from gcvideo.data.slowfast_sampling import SlowFastSampling as SlowFastSampling
from gcvideo.data.source import VideoSplits as VideoSplits
from gcvideo.data.source import annotated_videos as annotated_videos
from gcvideo.data.stream import FrameStream as FrameStream
from gcvideo.data.stream import is_stream as is_stream
from gcvideo.data.stream import stream_frames as stream_frames
from gcvideo.data.timeline import VideoInfo as VideoInfo
from gcvideo.lazy_name import lazy_names

if TYPE_CHECKING:
    from gcvideo.data.datamodule import VideoDataModule as VideoDataModule
    from gcvideo.data.dataset import EvaluationVideos as EvaluationVideos
    from gcvideo.data.dataset import TrainingVideos as TrainingVideos
    from gcvideo.data.dataset import VideoBatch as VideoBatch
    from gcvideo.data.dataset import VideoItem as VideoItem
    from gcvideo.data.dataset import collate_videos as collate_videos
    from gcvideo.data.dataset import read_views as read_views
    from gcvideo.data.demo import demo_videos as demo_videos
    from gcvideo.data.sampler import EpochBatchSampler as EpochBatchSampler
    from gcvideo.data.sampler import EpochSampler as EpochSampler
    from gcvideo.data.sampler import ExactSampler as ExactSampler
    from gcvideo.data.transform import ShortSideResize as ShortSideResize
    from gcvideo.data.transform import TrainTransform as TrainTransform
    from gcvideo.data.transform import evaluation_views as evaluation_views

# To check, index, cut or list videos must not pay the seconds of importing torch and Lightning.
__getattr__ = lazy_names(
    __name__,
    {
        "datamodule": ("VideoDataModule",),
        "dataset": (
            "EvaluationVideos",
            "TrainingVideos",
            "VideoBatch",
            "VideoItem",
            "collate_videos",
            "read_views",
        ),
        "demo": ("demo_videos",),
        "sampler": (
            "EpochBatchSampler",
            "EpochSampler",
            "ExactSampler",
        ),
        "transform": (
            "ShortSideResize",
            "TrainTransform",
            "evaluation_views",
        ),
    },
)
