"""Files through the readers of others and through ours, all asked in one way."""

from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import islice
from typing import Protocol

import numpy as np


class Reader(Protocol):
    """A file as a library reads it; each method may raise whatever the library does."""

    def __init__(self, path: str) -> None: ...
    def num_frames(self) -> int | None:
        """As the library reports it; None where it does not."""

    def rate(self) -> float | None:
        """Frames per second as reported; None where it does not."""

    def frames(self) -> Iterator[np.ndarray]:
        """All frames in order, the library's usual way."""
        ...

    def at(self, index: int) -> np.ndarray | None:
        """One frame, the library's way to single frames; None if it gives none."""
        ...


class GCVideo:
    """Ours."""

    def __init__(self, path: str) -> None:
        self.video = import_module("gcvideo.data").VideoReader(path)

    def num_frames(self) -> int:
        return self.video.info.num_frames

    def rate(self) -> float:
        return float(self.video.info.fps)

    def frames(self) -> Iterator[np.ndarray]:
        yield from self.video.read(range(self.video.info.num_frames))

    def at(self, index: int) -> np.ndarray:
        return self.video.read([index])[0]


class PyAV:
    """The loop of PyAV's documentation."""

    def __init__(self, path: str) -> None:
        self.container = import_module("av").open(path)
        self.stream = self.container.streams.video[0]

    def num_frames(self) -> int | None:
        return self.stream.frames or None

    def rate(self) -> float | None:
        return float(self.stream.average_rate) if self.stream.average_rate else None

    def frames(self) -> Iterator[np.ndarray]:
        for frame in self.container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")

    def at(self, index: int) -> np.ndarray | None:
        return next(islice(self.frames(), index, None), None)


class TorchCodecExact:
    """It scans the file when it is opened."""

    mode = "exact"

    def __init__(self, path: str) -> None:
        decoder = import_module("torchcodec.decoders").VideoDecoder
        self.video = decoder(path, seek_mode=self.mode, dimension_order="NHWC")

    def num_frames(self) -> int:
        return len(self.video)

    def rate(self) -> float | None:
        return self.video.metadata.average_fps

    def frames(self) -> Iterator[np.ndarray]:
        return (frame.numpy() for frame in self.video)

    def at(self, index: int) -> np.ndarray:
        return self.video.get_frame_at(index).data.numpy()


class TorchCodecApproximate(TorchCodecExact):
    """It believes the header."""

    mode = "approximate"


class Decord:
    """decord and decord2, one of which is installed."""

    def __init__(self, path: str) -> None:
        self.video = import_module("decord").VideoReader(path, num_threads=1)

    def num_frames(self) -> int:
        return len(self.video)

    def rate(self) -> float:
        return self.video.get_avg_fps()

    def frames(self) -> Iterator[np.ndarray]:
        return (self.video[index].asnumpy() for index in range(len(self.video)))

    def at(self, index: int) -> np.ndarray:
        return self.video.get_batch([index]).asnumpy()[0]


class OpenCV:
    """With its own FFmpeg."""

    def __init__(self, path: str) -> None:
        self.cv2 = import_module("cv2")
        self.video = self.cv2.VideoCapture(path, self.cv2.CAP_FFMPEG)
        if not self.video.isOpened():
            raise OSError("is not opened")

    def num_frames(self) -> int:
        return int(self.video.get(self.cv2.CAP_PROP_FRAME_COUNT))

    def rate(self) -> float:
        return self.video.get(self.cv2.CAP_PROP_FPS)

    def frames(self) -> Iterator[np.ndarray]:
        while True:
            is_read, picture = self.video.read()
            if not is_read:
                return
            yield picture[..., ::-1]

    def at(self, index: int) -> np.ndarray | None:
        self.video.set(self.cv2.CAP_PROP_POS_FRAMES, index)
        return next(self.frames(), None)


class ImageIOPyAV:
    """imageio by PyAV."""

    def __init__(self, path: str) -> None:
        self.video = import_module("imageio.v3").imopen(path, "r", plugin="pyav")

    def num_frames(self) -> int | None:
        return self.video.properties(index=...).n_images or None

    def rate(self) -> float | None:
        return self.video.metadata()["fps"]

    def frames(self) -> Iterator[np.ndarray]:
        return self.video.iter()

    def at(self, index: int) -> np.ndarray:
        return self.video.read(index=index)


class ImageIOFFmpeg:
    """imageio by the program ffmpeg."""

    def __init__(self, path: str) -> None:
        self.video = import_module("imageio.v2").get_reader(path, "ffmpeg")

    def num_frames(self) -> int:
        return self.video.count_frames()

    def rate(self) -> float:
        return self.video.get_meta_data()["fps"]

    def frames(self) -> Iterator[np.ndarray]:
        return self.video.iter_data()

    def at(self, index: int) -> np.ndarray:
        return self.video.get_data(index)


class MoviePy:
    """It speaks of times: frame i is what it shows at i / rate."""

    def __init__(self, path: str) -> None:
        self.video = import_module("moviepy").VideoFileClip(path, audio=False)

    def num_frames(self) -> int:
        return self.video.n_frames

    def rate(self) -> float:
        return self.video.fps

    def frames(self) -> Iterator[np.ndarray]:
        return self.video.iter_frames()

    def at(self, index: int) -> np.ndarray:
        return self.video.get_frame(index / self.video.fps)


class VideoReaderRS:
    """On one thread."""

    def __init__(self, path: str) -> None:
        self.video = import_module("video_reader").PyVideoReader(path, threads=1)

    def num_frames(self) -> int:
        return self.video.get_shape()[0]

    def rate(self) -> float:
        return self.video.get_fps()

    def frames(self) -> Iterator[np.ndarray]:
        return iter(self.video.decode())

    def at(self, index: int) -> np.ndarray:
        return self.video.get_batch([index])[0]


class PyTorchVideo:
    """It speaks of times and gives what lies between two; it reports no rate."""

    def __init__(self, path: str) -> None:
        encoded_video = import_module("pytorchvideo.data.encoded_video").EncodedVideo
        self.video = encoded_video.from_path(path, decode_audio=False, decoder="pyav")

    def num_frames(self) -> None:
        return None

    def rate(self) -> None:
        return None

    def frames(self) -> Iterator[np.ndarray]:
        # The end is exclusive, and that of some files the time of the last frame.
        pictures = self.video.get_clip(0, self.video.duration + 1)["video"]
        return iter(() if pictures is None else pictures.permute(1, 2, 3, 0).numpy())

    def at(self, index: int) -> np.ndarray | None:
        return next(islice(self.frames(), index, None), None)


# Name in the table: what opens a file, and the package that has the version.
READERS: dict[str, tuple[Callable[[str], Reader], str]] = {
    "gcvideo": (GCVideo, "gcvideo"),
    "PyAV": (PyAV, "av"),
    "torchcodec exact": (TorchCodecExact, "torchcodec"),
    "torchcodec approximate": (TorchCodecApproximate, "torchcodec"),
    "decord": (Decord, "decord"),
    "decord2": (Decord, "decord2"),
    "OpenCV": (OpenCV, "opencv-python-headless"),
    "imageio pyav": (ImageIOPyAV, "imageio"),
    "imageio ffmpeg": (ImageIOFFmpeg, "imageio"),
    "moviepy": (MoviePy, "moviepy"),
    "video-reader-rs": (VideoReaderRS, "video-reader-rs"),
    "pytorchvideo": (PyTorchVideo, "pytorchvideo"),
}
