from collections import Counter
from itertools import permutations, product

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gcvideo.data import VideoReader
from gcvideo.data.made._cue import CUE_PERIOD, CUE_SHAPES, cue_videos, render_cue

SMALL = {"train_per_class": 6, "val_per_class": 2, "test_per_class": 2}
SIZE = 28


def picture(*rows):
    return np.array([[pixel == "#" for pixel in row] for row in rows])


PICTURES = {
    "columns": picture(*["##..##..##.."] * 12),
    "rows": picture(*[*["############"] * 2, *["............"] * 2] * 3),
    "ring": picture(*["############"] * 2, *["##........##"] * 8, *["############"] * 2),
    "cross": picture(
        "##........##",
        "###......###",
        ".###....###.",
        "..###..###..",
        "...######...",
        "....####....",
        "....####....",
        "...######...",
        "..###..###..",
        ".###....###.",
        "###......###",
        "##........##",
    ),
    "cue": picture(*["############"] * 12),
}


def seen(frame):
    """Name and colour of what a frame shows, by darkness and tint; None for an empty one."""
    grey = frame.astype(float) @ (0.299, 0.587, 0.114)
    red_over_blue = frame[..., 0].astype(float) - frame[..., 2]
    if np.abs(red_over_blue).max() < 60:
        return None
    colour = "red" if red_over_blue.sum() > 0 else "blue"
    dark = (128 - grey) / (128 - {"red": 96.9, "blue": 61.7}[colour])
    windows = np.lib.stride_tricks.sliding_window_view(dark, (12, 12)).reshape(-1, 144)
    # |dark - mask|^2 over the frame, without the part that is the same for all.
    errors = {
        name: (mask.sum() - 2 * windows @ mask.ravel()).min() for name, mask in PICTURES.items()
    }
    return min(errors, key=errors.__getitem__), colour


def decoded(frames):
    """The class that frames show, from what is seen in each alone."""
    things = [thing for frame in frames if (thing := seen(frame))]
    (cue,) = [colour for name, colour in things if name == "cue"]
    glyphs = {colour: name for name, colour in things if name != "cue"}
    assert len(things) == 3
    assert sorted(glyphs) == ["blue", "red"]
    return glyphs[cue]


def rendered(number, rounds=3, size=SIZE):
    shape = sorted(CUE_SHAPES)[number % 4]
    return shape, render_cue(shape, np.random.default_rng(number), rounds=rounds, size=size)


def test_any_six_frames_in_a_row_show_the_class_to_a_plain_decoder():
    for number in range(40):
        shape, frames = rendered(number)
        for start in range(len(frames) - CUE_PERIOD + 1):
            assert decoded(frames[start : start + CUE_PERIOD]) == shape


@pytest.fixture(scope="module")
def small_set(tmp_path_factory):
    return cue_videos(root=str(tmp_path_factory.mktemp("cue")), **SMALL)


def test_the_class_survives_the_coding_of_every_video(small_set):
    for split in (small_set.train, small_set.val, small_set.test):
        for video, label in enumerate(split.labels):
            with VideoReader(split.path(video)) as reader:
                frames = reader.read(np.arange(reader.info.num_frames))
                assert (len(frames), reader.info.height) == (3 * CUE_PERIOD, SIZE)
            for start in (0, 5, 12):
                assert decoded(frames[start : start + CUE_PERIOD]) == split.classes[label]


def test_classes_are_balanced_and_the_splits_apart(small_set):
    for split, per_class in ((small_set.train, 6), (small_set.val, 2), (small_set.test, 2)):
        assert Counter(split.labels) == dict.fromkeys(range(4), per_class)
    splits = (small_set.train, small_set.val, small_set.test)
    paths = [split.path(v) for split in splits for v in range(len(split))]
    assert len(set(paths)) == 40


def test_a_flip_keeps_the_class():
    for number in range(8):
        shape, frames = rendered(number)
        assert decoded(frames[:CUE_PERIOD, :, ::-1]) == shape


def test_things_are_two_frames_apart_so_that_no_pair_of_frames_shows_two():
    for number in range(20):
        _, frames = rendered(number)
        shown = [seen(frame) is not None for frame in frames]
        assert shown in ([True, False] * 9, [False, True] * 9)


def test_things_move_from_round_to_round_and_reach_all_of_the_frame():
    reached = np.zeros((SIZE, SIZE), bool)
    for number in range(200):
        frames = rendered(number)[1].reshape(3, CUE_PERIOD, SIZE, SIZE, 3)
        assert not np.array_equal(frames[0], frames[1])
        reached |= (frames != 128).any((0, 1, 4))
    assert reached.all()


def test_no_pair_of_things_without_the_cue_and_no_single_thing_tells_the_class():
    """Red, blue and cue are each independent of the class but for the one shape that must be there."""
    counts = Counter()
    for number in range(960):
        shape, frames = rendered(number, rounds=1, size=12)
        things = dict(
            (colour if name != "cue" else "cue", name if name != "cue" else colour)
            for name, colour in filter(None, map(seen, frames))
        )
        counts[shape, things["red"], things["blue"], things["cue"]] += 1
    expected = {
        (red if cue == "red" else blue, red, blue, cue)
        for red, blue in permutations(CUE_SHAPES, 2)
        for cue in ("red", "blue")
    }
    assert set(counts) == expected
    # 24 equally likely cases; five standard deviations.
    assert max(abs(count - 40) for count in counts.values()) < 31


def test_a_sum_over_things_ties_and_a_pair_of_colour_and_cue_tells_the_class():
    """The best cross-entropy is ln 2 for sums of what single things say, 0 with one product."""
    names = sorted(CUE_SHAPES)
    cases = list(product(permutations(range(4), 2), range(2)))
    labels = torch.tensor([pair[cue] for pair, cue in cases])
    shapes = torch.tensor([pair for pair, _ in cases])
    cues = torch.tensor([cue for _, cue in cases])
    red, blue = F.one_hot(shapes, len(names)).double().unbind(1)
    cue = F.one_hot(cues, 2).double()
    alone = torch.cat([red, blue, cue], dim=1)
    bound = torch.cat([alone, cue[:, :1] * red, cue[:, 1:] * blue], dim=1)
    assert best_cross_entropy(alone, labels) == pytest.approx(np.log(2), abs=1e-3)
    assert best_cross_entropy(bound, labels) < 0.01


def best_cross_entropy(features, labels):
    weight = torch.zeros(features.shape[1], 4, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=400, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(features @ weight, labels)
        loss.backward()
        return loss

    optimizer.step(closure)
    return closure().item()


def test_rounds_and_size_shape_the_frames():
    assert rendered(0, rounds=2, size=24)[1].shape == (12, 24, 24, 3)


@pytest.mark.parametrize("size", [10, 29])
def test_sizes_that_no_glyph_or_no_codec_fits_are_refused(tmp_path, size):
    message = f"size is {size}; a glyph is 12 pixels wide and h264 needs an even size: give an even"
    with pytest.raises(ValueError, match=message):
        cue_videos(root=str(tmp_path), size=size)
