"""Reads mutated video files, in a process of its own: python mutation.py FOLDER FIRST COUNT SEED.

Writes the number of the file in hand to FOLDER/current, so that a crash or a hang can be told apart and
repeated. Ends with exit code 1 at the first result that is neither right nor a VideoReadError.
"""

import sys
import warnings
from pathlib import Path

import av
import av.logging
import numpy as np

from gcvideo.data.video._container import VideoReadError
from gcvideo.data.video._decoding import VideoReader


def mutated(sources, rng):
    """A source with flipped bits, cut short, or continued by a part of another one."""
    content = np.frombuffer(sources[rng.integers(len(sources))], np.uint8).copy()
    kind = rng.integers(4)
    if kind == 0:
        places = rng.integers(len(content), size=rng.integers(1, 50))
        content[places] ^= (1 << rng.integers(8, size=len(places))).astype(np.uint8)
    elif kind == 1:
        content = content[: rng.integers(len(content))]
    elif kind == 2:
        other = np.frombuffer(sources[rng.integers(len(sources))], np.uint8)
        cut, start = rng.integers(len(content)), rng.integers(len(other))
        content = np.concatenate([content[:cut], other[start:]])
    else:
        # Headers hold the sizes, counts and offsets that a demuxer trusts.
        ends = (content[:1500], content[-4000:])
        end = ends[rng.integers(2)]
        places = rng.integers(len(end), size=rng.integers(1, 8))
        end[places] = rng.integers(256, size=len(places))
    return content.tobytes()


def read(path, rng, *, tolerant):
    """Number of frames and some of them, if the file gives any; they must have the promised shape."""
    try:
        with VideoReader(path, tolerant=tolerant) as reader:
            info = reader.info
            assert info.num_frames > 0, info
            assert info.fps > 0, info
            indices = rng.integers(info.num_frames, size=6)
            frames = reader.read(indices)
            assert frames.shape == (6, info.height, info.width, 3), (frames.shape, info)
            assert frames.dtype == np.uint8
    except VideoReadError:
        return None
    return info.num_frames, frames


def times_ascend(path):
    """Whether a plain decode gives its frames in the order of their time stamps."""
    with av.open(str(path)) as container:
        times = [frame.pts for frame in container.decode(video=0)]
    return times == sorted(times)


def main(folder, first, count, seed):
    """Read ``count`` mutations of the files in ``folder/sources``, sparsely and by a full decode.

    Both must give the same pictures, but for two cases. What a decoder puts in the place of damaged
    blocks depends on the frames that it has decoded before. And where time stamps contradict the order
    in which it shows frames, sparse reads go by the stamps.
    """
    av.logging.set_level(av.logging.ERROR)
    warnings.filterwarnings("ignore", message="colour matrix")
    files = sorted((folder / "sources").iterdir())
    sources = [file.read_bytes() for file in files]
    num_read = 0
    for number in range(first, first + count):
        (folder / "current").write_text(str(number))
        rng = np.random.default_rng([seed, number])
        suffix = files[rng.integers(len(files))].suffix
        path = folder / f"mutated{suffix}"
        path.write_bytes(mutated(sources, rng))
        with av.logging.Capture() as complaints:
            sparse = read(path, np.random.default_rng([seed, number, 1]), tolerant=False)
            whole = read(path, np.random.default_rng([seed, number, 1]), tolerant=True)
        num_read += sparse is not None or whole is not None
        if sparse is None or whole is None or sparse[0] != whole[0] or complaints:
            continue
        assert np.array_equal(sparse[1], whole[1]) or not times_ascend(path)
    sys.stdout.write(f"{num_read}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
