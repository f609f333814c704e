"""``gcvideo attention show``: where the blocks of a net look in a video, as pictures and arrays."""

import difflib
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from omegaconf import DictConfig
from torch import Tensor

from gcvideo._console import Console
from gcvideo._draft import draft_of
from gcvideo.attention._caption import captioned_cam, captioned_maps, clip_times
from gcvideo.attention._grad_cam import grad_cam
from gcvideo.attention._map import DEFAULT_QUERIES, AttentionMap, attention_maps, temporal_shares
from gcvideo.attention._picture import write_attention_animation, write_attention_sheet
from gcvideo.command._checkpoint_data import announce_evaluation
from gcvideo.command._device import choose_device
from gcvideo.command._output_check import check_folder
from gcvideo.command._record import write_json
from gcvideo.command._video_list import find_videos
from gcvideo.command.attention._video_folder import (
    RECORD,
    recorded_name,
    remove_earlier,
    video_folder,
)
from gcvideo.comparison._table import Table
from gcvideo.data import EvaluationProtocol, VideoReader, read_views
from gcvideo.inference import TrainedClassifier, load
from gcvideo.models import computing_in, precision_type

_CONSOLE = Console()
_NUM_SCORES = 5
_ANIMATIONS = ("animation.mp4", "animation.gif")
_LARGEST = 800  # pixels of a picture's side, twice what a sheet shows
_SAME = (
    *("num_frames", "sampling_rate", "square_pixels", "short_side", "val_crop_size"),
    *("sampling", "by_time", "resizing", "crops"),
)


class _Layer(NamedTuple):
    """The maps of one layer, such as "beside: res4.5" of the second checkpoint."""

    place: str
    file: str
    checkpoint: str
    maps: Sequence[AttentionMap]


def attention_show(cfg: DictConfig) -> Path:
    """Draw where the blocks of a net look in a video, as configured by ``conf/attention_show.yaml``.

    A folder named after the video in ``output``, which is returned, gets the following; what an earlier call
    has left of the same video goes. Pictures show the frames of the file, not the smaller ones of the net.

    - ``sheet.png`` at 300 dpi, or another form as ``sheet`` says, ``animation.mp4`` and ``animation.gif``: the
      maps over the frames
    - ``LAYER.npy``, and ``beside_LAYER.npy`` for the second checkpoint: float32 of shape (maps, t, h, w) on
      the layer's grid, with a map for each query of a non-local block, or the one of a context block
    - ``grad_cam.npy``: float32 of shape (1, t, h, w)
    - ``attention.json``: checkpoints, frames, scores, and the layer, grid and queries of each array

    Raises:
        FileNotFoundError: if there is no such video.
        ValueError: if there are several videos, a query, layer or class does not exist, a net has no
            block with a map, the second checkpoint takes other clips, or for an unknown ``precision``.
        VideoReadError: if the video cannot be read.
    """
    sheet = f"sheet.{cfg.sheet}"
    videos = find_videos(str(cfg.video))
    if len(videos) > 1:
        raise ValueError(f"{len(videos)} videos match '{cfg.video}'; give one, such as {videos[0]}")
    video = videos[0]
    check_folder(cfg.output, "output")
    shown = _load(cfg, cfg.checkpoint)
    announce_evaluation(str(cfg.checkpoint), shown.protocol.single_view(), cfg.precision)
    classifiers = {"": shown}
    if cfg.beside is not None:
        classifiers["beside"] = _load(cfg, cfg.beside)
        _check_same_clips(shown.protocol, classifiers["beside"].protocol)
    for classifier in classifiers.values():
        _CONSOLE.print(f"checkpoint {classifier.source}", soft_wrap=True)
    label = None if cfg.label is None else _label(str(cfg.label), shown.classes)
    queries = DEFAULT_QUERIES if cfg.queries is None else _queries(cfg.queries)
    layers = [cfg.layers] if isinstance(cfg.layers, str) else cfg.layers
    view = read_views(video, shown.protocol.single_view())[0]
    found = []
    with computing_in(shown.dtype, shown.device):
        for role, classifier in classifiers.items():
            maps = attention_maps(classifier.model, view, queries=queries, layers=layers)
            for layer, same in groupby(maps, lambda one: one.layer):
                place, name = (f"{role}: {layer}", f"{role}_{layer}") if role else (layer, layer)
                found.append(_Layer(place, f"{name}.npy", str(classifier.source), list(same)))
        cam = grad_cam(shown.model, view, label=label, layer=cfg.grad_cam_layer)
    scores = shown.scores(video)

    heats = [
        heat
        for layer in found
        for heat in captioned_maps(layer.maps, queries, view.shape[1], place=layer.place)
    ]
    cam_class = shown.classes[cam.label]
    heats.append(captioned_cam(cam, cam_class))
    best = shown.rank(scores, 1)[0]
    title = f"{Path(video).name}: predicted '{best.name}', score {best.score:.2f}"
    frames, pace = clip_times(video, shown.protocol)
    pictures = _source_view(video, shown.protocol.single_view())
    arrays = {layer.file: [m.weights for m in layer.maps] for layer in found}
    arrays["grad_cam.npy"] = [cam.weights]
    files = [sheet, *_ANIMATIONS, *arrays]
    output = video_folder(Path(cfg.output), video)
    output.mkdir(parents=True, exist_ok=True)
    remove_earlier(output, files)
    write_attention_sheet(output / sheet, pictures, heats, title=title)
    for name in _ANIMATIONS:
        write_attention_animation(output / name, pictures, heats, frames_per_second=pace)
    for name, weights in arrays.items():
        with draft_of(output / name) as draft:
            np.save(draft, np.stack(weights))
    write_json(
        output / RECORD,
        {
            "video": recorded_name(video),
            "files": files,
            "precision": cfg.precision,
            "frames": frames.tolist(),
            "frames_per_second": pace,
            "scores": {p.name: p.score for p in shown.rank(scores, _NUM_SCORES)},
            "arrays": [_layer_record(layer, queries) for layer in found],
            "grad_cam": {
                "file": "grad_cam.npy",
                "layer": cam.layer,
                "label": cam.label,
                "name": cam_class,
                "logit": cam.logit,
                "grid": list(cam.weights.shape),
            },
        },
    )
    rows = (
        (heat.caption, heat.range_text, f"{temporal_shares(heat.weights).max():.1%}")
        for heat in heats
    )
    _CONSOLE.print(Table(("map", "range", "most in frame"), tuple(rows)).on_screen())
    _CONSOLE.print(f"{output}: {', '.join([*files, RECORD])}", soft_wrap=True)
    return output


def _load(cfg: DictConfig, checkpoint: str) -> TrainedClassifier:
    dtype = precision_type(cfg.precision)
    classifier = load(checkpoint, device=choose_device(cfg.device), packages=list(cfg.packages))
    classifier.dtype = dtype
    return classifier


def _queries(given: Any) -> list[list[float]]:
    try:
        queries = [[float(part) for part in query] for query in given]
    except (TypeError, ValueError):
        queries = []
    if not queries:
        raise ValueError(
            f"queries is {given}; give a list of positions [t, y, x] in fractions of the clip, such as "
            "queries=[[0.5,0.5,0.5]]"
        )
    return queries


def _check_same_clips(shown: EvaluationProtocol, beside: EvaluationProtocol) -> None:
    for name in _SAME:
        ours, theirs = getattr(shown, name), getattr(beside, name)
        if ours != theirs:
            raise ValueError(
                f"{name} is {ours} for checkpoint and {theirs} for beside, so they would see different "
                "clips of the video; choose two checkpoints of one recipe"
            )


def _label(given: str, classes: Sequence[str]) -> int:
    if given in classes:
        return classes.index(given)
    if given.lstrip("-").isdigit():
        return int(given)  # Grad-CAM refuses a number that is no class
    near = difflib.get_close_matches(given, classes, n=3)
    known = "the nearest are" if near else "the net has"
    names = ", ".join(near or [*classes[:_NUM_SCORES], *(["..."] if classes[_NUM_SCORES:] else [])])
    raise ValueError(f"no class is called '{given}'; {known} {names}")


def _source_view(video: str, protocol: EvaluationProtocol) -> UInt8[Tensor, "3 t s s"]:
    """What the single view shows, in the resolution of the file; at most 800 pixels, at least the view's."""
    with VideoReader(video) as reader:
        source = min(reader.info.width, reader.info.height)
    net = protocol.crop_size
    size = max(net, min(_LARGEST, round(net * source / protocol.short_side)))
    short_side = max(size, round(size * protocol.short_side / net))
    enlarged = replace(
        protocol, short_side=short_side, crop_size=size, val_crop_size=size, antialias=True
    )
    return read_views(video, enlarged)[0]


def _layer_record(layer: _Layer, queries: Sequence[Sequence[float]]) -> dict[str, Any]:
    first = layer.maps[0]
    record: dict[str, Any] = {
        "file": layer.file,
        "checkpoint": layer.checkpoint,
        "layer": first.layer,
        "kind": first.kind,
        "grid": list(first.weights.shape),
        "uniform": first.uniform,
        "temporal_shares": [temporal_shares(m.weights).tolist() for m in layer.maps],
    }
    if first.query is not None:
        record["queries"] = [list(query) for query in queries]
        record["query_cells"] = [m.query for m in layer.maps]
    return record
