"""Videos from files to views: annotations, decoding, sampling, protocols, transforms, loaders."""

from typing import TYPE_CHECKING

from gcvideo._lazy_name import lazy_names
from gcvideo.data._parallel import parallel_map as parallel_map
from gcvideo.data._process_error import ProcessDiedError as ProcessDiedError
from gcvideo.data.listing._annotation import Annotations as Annotations
from gcvideo.data.listing._annotation import read_annotations as read_annotations
from gcvideo.data.listing._annotation import read_classes as read_classes
from gcvideo.data.listing._annotation import stratified_split as stratified_split
from gcvideo.data.listing._list_file import check_listable as check_listable
from gcvideo.data.listing._list_file import write_list as write_list
from gcvideo.data.listing._list_file import write_table as write_table
from gcvideo.data.listing._list_file import write_text as write_text
from gcvideo.data.listing._path_list import PathList as PathList
from gcvideo.data.listing._video_folder import VIDEO_SUFFIXES as VIDEO_SUFFIXES
from gcvideo.data.loading._crop import CropLayout as CropLayout
from gcvideo.data.loading._crop import MMActionCrops as MMActionCrops
from gcvideo.data.loading._crop import NonLocalCrops as NonLocalCrops
from gcvideo.data.loading._crop import SlowFastCrops as SlowFastCrops
from gcvideo.data.loading._crop import Window as Window
from gcvideo.data.loading._failure import BadVideosError as BadVideosError
from gcvideo.data.loading._failure import VideoProblem as VideoProblem
from gcvideo.data.loading._failure import describe_problems as describe_problems
from gcvideo.data.loading._failure import write_bad_videos as write_bad_videos
from gcvideo.data.loading._mmaction_sampling import MMActionDenseSampling as MMActionDenseSampling
from gcvideo.data.loading._mmaction_sampling import MMActionSampling as MMActionSampling
from gcvideo.data.loading._mmaction_sampling import (
    MMActionSegmentSampling as MMActionSegmentSampling,
)
from gcvideo.data.loading._mmaction_sampling import (
    MMActionUniformSampling as MMActionUniformSampling,
)
from gcvideo.data.loading._multigrid import ClipShape as ClipShape
from gcvideo.data.loading._multigrid import Multigrid as Multigrid
from gcvideo.data.loading._multigrid import MultigridSchedule as MultigridSchedule
from gcvideo.data.loading._protocol import EvaluationProtocol as EvaluationProtocol
from gcvideo.data.loading._sampling import ClipSampling as ClipSampling
from gcvideo.data.loading._sampling import ClipSpec as ClipSpec
from gcvideo.data.loading._sampling import EvenSampling as EvenSampling
from gcvideo.data.loading._sampling import NonLocalSampling as NonLocalSampling
from gcvideo.data.loading._sampling import WholeVideoSampling as WholeVideoSampling
from gcvideo.data.loading._slowfast_sampling import PyTorchVideoSampling as PyTorchVideoSampling
from gcvideo.data.loading._slowfast_sampling import SlowFastSampling as SlowFastSampling
from gcvideo.data.loading._source import VideoSplits as VideoSplits
from gcvideo.data.loading._source import annotated_videos as annotated_videos
from gcvideo.data.made._cue import cue_videos as cue_videos
from gcvideo.data.video._checking import VideoCheck as VideoCheck
from gcvideo.data.video._checking import check_video as check_video
from gcvideo.data.video._container import VideoReadError as VideoReadError
from gcvideo.data.video._deadline import run_within as run_within
from gcvideo.data.video._decoding import VideoReader as VideoReader
from gcvideo.data.video._decoding import probe as probe
from gcvideo.data.video._decoding import read_frames as read_frames
from gcvideo.data.video._encoding import rewrite_video as rewrite_video
from gcvideo.data.video._encoding import write_video as write_video
from gcvideo.data.video._frame_index import FrameIndex as FrameIndex
from gcvideo.data.video._frame_index import IndexEntry as IndexEntry
from gcvideo.data.video._frame_index import index_path as index_path
from gcvideo.data.video._frame_index import index_video as index_video
from gcvideo.data.video._frame_index import write_index as write_index
from gcvideo.data.video._reconnecting import StreamConnections as StreamConnections
from gcvideo.data.video._reconnecting import StreamGap as StreamGap
from gcvideo.data.video._reencoding import Reencoding as Reencoding
from gcvideo.data.video._reencoding import reencode_video as reencode_video
from gcvideo.data.video._resizing import MMActionResizing as MMActionResizing
from gcvideo.data.video._resizing import NonLocalResizing as NonLocalResizing
from gcvideo.data.video._resizing import Resizing as Resizing
from gcvideo.data.video._resizing import SlowFastReaderResizing as SlowFastReaderResizing
from gcvideo.data.video._resizing import SlowFastResizing as SlowFastResizing
from gcvideo.data.video._resizing import TorchvisionResizing as TorchvisionResizing
from gcvideo.data.video._stream import FrameStream as FrameStream
from gcvideo.data.video._stream import is_stream as is_stream
from gcvideo.data.video._stream import stream_frames as stream_frames
from gcvideo.data.video._timeline import VideoInfo as VideoInfo

if TYPE_CHECKING:
    from gcvideo.data.loading._datamodule import VideoDataModule as VideoDataModule
    from gcvideo.data.loading._dataset import EvaluationVideos as EvaluationVideos
    from gcvideo.data.loading._dataset import TrainingVideos as TrainingVideos
    from gcvideo.data.loading._dataset import VideoBatch as VideoBatch
    from gcvideo.data.loading._dataset import VideoItem as VideoItem
    from gcvideo.data.loading._dataset import collate_videos as collate_videos
    from gcvideo.data.loading._dataset import read_views as read_views
    from gcvideo.data.loading._sampler import EpochBatchSampler as EpochBatchSampler
    from gcvideo.data.loading._sampler import EpochSampler as EpochSampler
    from gcvideo.data.loading._transform import ShortSideResize as ShortSideResize
    from gcvideo.data.loading._transform import TrainTransform as TrainTransform
    from gcvideo.data.loading._transform import evaluation_views as evaluation_views
    from gcvideo.data.made._demo import demo_videos as demo_videos

# To check, index, cut or list videos must not pay the seconds of importing torch and Lightning.
__getattr__ = lazy_names(
    __name__,
    {
        "loading._datamodule": ("VideoDataModule",),
        "loading._dataset": (
            "EvaluationVideos",
            "TrainingVideos",
            "VideoBatch",
            "VideoItem",
            "collate_videos",
            "read_views",
        ),
        "made._demo": ("demo_videos",),
        "loading._sampler": ("EpochBatchSampler", "EpochSampler"),
        "loading._transform": ("ShortSideResize", "TrainTransform", "evaluation_views"),
    },
)
