from pathlib import Path

from gcvideo.data import EvaluationProtocol, VideoReader, read_views
from gcvideo.inference._contact_sheet import write_contact_sheet


def write_view_sheet(path: str | Path, video: str | Path, protocol: EvaluationProtocol) -> None:
    """Write a PNG of the frames of a video that a net sees under a protocol, with their numbers.

    Args:
        path: of the image, ``*.png``.
        video: path of the file.
        protocol: with the clips and crops that are used.

    Raises:
        VideoReadError: if the video cannot be read.
        ValueError: if the path is no PNG.
    """
    with VideoReader(video) as reader:
        clips, num_frames = protocol.test_clips(reader.timeline), reader.info.num_frames
    captions = [
        f"clip {k} crop {crop}: frames {' '.join(map(str, clip.tolist()))} of {num_frames}"
        for k, clip in enumerate(clips)
        for crop in range(protocol.num_crops)
    ]
    write_contact_sheet(path, read_views(str(video), protocol), captions=captions)
