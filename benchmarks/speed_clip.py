"""From video files to scores and to optimizer steps, against plain loops over the same files."""

from collections.abc import Callable, Iterable
from tempfile import TemporaryDirectory

import torch
import torch.nn.functional as F
from alternation import measure_steps, require_close
from omegaconf import DictConfig
from speed_model import FILE_NETS, build_drawn_net, compose_model, make_model, model_words
from speed_net import TOLERANCE, reference_name
from speed_setting import BenchmarkSetting, choose_dtype, compare
from speed_table import SpeedTable
from torch import Tensor

from gcvideo.command._assembly import build, build_data
from gcvideo.data import EvaluationProtocol, VideoBatch, VideoSplits, demo_videos, read_views
from gcvideo.evaluation import average_views
from gcvideo.inference import TrainedClassifier, configure_head
from gcvideo.models import ClipClassifier

LEGEND = (
    "Both sides decode with gcvideo's reader: these lines are about all that comes behind it. "
    "Reference: pytorchvideo's net as it is made, in contiguous memory; one video after the other. "
    "Differences are from the reference in float32: |result - float32| / |float32 - its mean|.",
)


def benchmark_clips(cfg: DictConfig, setting: BenchmarkSetting, table: SpeedTable) -> None:
    """Lines for scores of made videos, and for optimizer steps on clips of them.

    Raises:
        ValueError: for an unknown model, no views, or more videos than the eight of a set.
        UnequalError: if scores or logits differ from the reference's.
    """
    with TemporaryDirectory() as folder:
        splits = make_videos(cfg, folder, train_per_class=1)
        if not cfg.views or not 1 <= cfg.num_videos <= len(splits.test):
            raise ValueError(
                f"views is {cfg.views}, num_videos {cfg.num_videos}; give at least one pair of clips and "
                f"crops, and 1 to {len(splits.test)} videos"
            )
        for words in model_words(cfg, FILE_NETS):
            _compare_scores(words, cfg, setting, splits, table)
            _compare_training(words, cfg, setting, splits, table)


def make_videos(cfg: DictConfig, folder: str, *, train_per_class: int) -> VideoSplits:
    """Moving textures as files of the size that the benchmark asks for."""
    return demo_videos(
        root=folder,
        train_per_class=train_per_class,
        val_per_class=1,
        num_frames=cfg.video_frames,
        size=cfg.video_size,
    )


def compose_files(words: str, cfg: DictConfig) -> DictConfig:
    """The configuration of a training of a net on made videos."""
    return compose_model(
        words,
        "recipe=kinetics400",
        "dropout=0",
        *(f"{key}={cfg[key]}" for key in ("num_frames", "crop_size", "batch_size", "num_workers")),
    )


def _compare_scores(
    words: str, cfg: DictConfig, setting: BenchmarkSetting, splits: VideoSplits, table: SpeedTable
) -> None:
    net_cfg = compose_files(words, cfg)
    net_cfg.num_classes = len(splits.classes)
    net = build_drawn_net(net_cfg)
    protocol: EvaluationProtocol = build(net_cfg.protocol)
    reference_dtype, _ = choose_dtype(cfg.reference_dtype, setting.device)
    model, plain = (
        make_model(net, net_cfg, layout, setting.device, dtype).eval()
        for layout, dtype in (("auto", setting.dtype), ("contiguous", reference_dtype))
    )
    for one in (model, plain):
        configure_head(one, protocol)
    classifier = TrainedClassifier(model, classes=splits.classes, protocol=protocol).for_inference(
        precision=setting.machine()["dtype"], compile=setting.compiled
    )
    for num_clips, num_crops in cfg.views:
        # Thirty views of one video are as much work as one view of thirty.
        num_videos = cfg.num_videos if num_clips * num_crops == 1 else 1
        videos = [splits.test.path(video) for video in range(num_videos)]
        several = protocol.for_prediction(num_clips, num_crops)

        def ours(
            videos: list[str] = videos, views: tuple[int, int] = (num_clips, num_crops)
        ) -> tuple[Tensor, ...]:
            return tuple(
                classifier.scores(video, num_clips=views[0], num_crops=views[1]) for video in videos
            )

        def theirs(
            videos: list[str] = videos,
            protocol: EvaluationProtocol = several,
            dtype: torch.dtype = reference_dtype,
        ) -> tuple[Tensor, ...]:
            with setting.autocast(dtype):
                return tuple(plain_scores(plain, video, protocol) for video in videos)

        compare(
            table,
            setting,
            f"{words}, files to scores, {num_videos} videos, {num_clips} x {num_crops} views",
            ours,
            {reference_name(reference_dtype): theirs},
            exact=theirs(dtype=torch.float32),
            tolerance=TOLERANCE[setting.dtype],
        )


@torch.inference_mode()
def plain_scores(model: ClipClassifier, video: str, protocol: EvaluationProtocol) -> Tensor:
    """Scores of a file as a script without this package's inference would compute them."""
    views = read_views(video, protocol)
    logits = model(views[None].to(model.mean.device))
    return average_views(logits, protocol.average)[0].cpu()  # pyright: ignore[reportArgumentType]


def _compare_training(
    words: str, cfg: DictConfig, setting: BenchmarkSetting, splits: VideoSplits, table: SpeedTable
) -> None:
    net_cfg = compose_files(words, cfg)
    net_cfg.num_classes = len(splits.classes)
    net = build_drawn_net(net_cfg)
    protocol: EvaluationProtocol = build(net_cfg.protocol)
    data = build_data(net_cfg, splits, protocol)
    loader = data.train_dataloader()
    reference_dtype, _ = choose_dtype(cfg.reference_dtype, setting.device)
    forms = {"auto": setting.dtype, "contiguous": reference_dtype}
    models = {
        layout: make_model(net, net_cfg, layout, setting.device, dtype).train()
        for layout, dtype in forms.items()
    }
    first: VideoBatch = next(iter(loader))

    def logits(layout: str, dtype: torch.dtype) -> list[Tensor]:
        with setting.autocast(dtype), torch.no_grad():
            return [models[layout](first["views"].to(setting.device))]

    case = f"{words}, files to optimizer steps, {net_cfg.num_workers} workers"
    note = require_close(
        case,
        logits("auto", setting.dtype),
        logits("contiguous", torch.float32),
        TOLERANCE[setting.dtype],
        theirs=logits("contiguous", reference_dtype),
    )
    steps = {
        layout: _epoch(models[layout], loader, setting, dtype) for layout, dtype in forms.items()
    }
    seconds = measure_steps(steps, setting.rounds, setting.device)
    num_clips = len(loader) * cfg.batch_size * net_cfg.clips_per_video
    ours, theirs = (seconds[layout] / num_clips for layout in forms)
    table.add_times(case, reference_name(reference_dtype), ours, theirs, note=f"per clip; {note}")


def _epoch(
    model: ClipClassifier,
    loader: Iterable[VideoBatch],
    setting: BenchmarkSetting,
    dtype: torch.dtype,
) -> Callable[[], None]:
    """All batches of the loader; small steps, so that both sides stay near where they started."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-5, momentum=0.9)

    def run() -> None:
        for batch in loader:
            views, labels = (batch[key].to(setting.device) for key in ("views", "labels"))
            with setting.autocast(dtype):
                logits = model(views).flatten(0, 1)
            F.cross_entropy(logits.float(), labels.flatten()).backward()
            optimizer.step()
            optimizer.zero_grad()

    return run
