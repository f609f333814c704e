import numpy as np
import pytest
from conftest import numbered_frames

from gcvideo.data import VideoReader, VideoReadError, probe, write_video
from gcvideo.inference._overlay import annotate_video, draw_scores

BAR = (64, 180, 255)
RANKING = [("arm wrestling", 0.75), ("tai chi", 0.2), ("yoga", 0.05)]
SIZES = [(32, 32), (64, 48), (256, 340), (16, 720), (720, 16), (1080, 1920), (2160, 3840)]


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def panel_of(frame, drawn):
    """The changed part, which must be a rectangle in the bottom left corner."""
    changed = (frame != drawn).any(-1)
    top, right = np.flatnonzero(changed.any(1)).min(), np.flatnonzero(changed.any(0)).max() + 1
    assert changed[top:, :right].mean() > 0.98
    return drawn[top:, :right]


def bar_lengths(panel):
    """Of each row of pixels that holds some bar."""
    is_bar = (panel == BAR).all(-1)
    return [int(length) for length in is_bar.sum(1) if length]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_pixels_outside_the_panel_stay_bit_for_bit(height, width):
    frame = noise(height, width)
    before = frame.copy()
    drawn = draw_scores(frame, RANKING)
    panel = panel_of(frame, drawn)
    assert panel.shape[0] <= max(0.61 * height, 12)
    np.testing.assert_array_equal(frame, before)


@pytest.mark.parametrize(("height", "width"), SIZES[:5])
def test_a_bar_is_as_long_as_its_score(height, width):
    frame = np.zeros((height, width, 3), np.uint8)
    whole = max(bar_lengths(draw_scores(frame, [("yoga", 1.0)])))
    lengths = [
        max(bar_lengths(draw_scores(frame, [("yoga", score)])), default=0)
        for score in np.linspace(0, 1, 21)
    ]
    np.testing.assert_allclose(lengths, whole * np.linspace(0, 1, 21), atol=0.5)
    assert lengths == sorted(lengths)


def test_every_class_has_a_row_in_order():
    lengths = bar_lengths(draw_scores(np.zeros((480, 640, 3), np.uint8), RANKING))
    distinct = list(dict.fromkeys(lengths))
    assert len(distinct) == 3
    ratios = np.array(distinct) / distinct[0]
    np.testing.assert_allclose(ratios, np.array([0.75, 0.2, 0.05]) / 0.75, atol=0.02)


@pytest.mark.parametrize(("max_rows", "num_shown"), [(1, 1), (2, 2), (3, 3), (9, 3)])
def test_no_more_rows_are_shown_than_asked_for(max_rows, num_shown):
    frame = np.zeros((480, 640, 3), np.uint8)
    lengths = bar_lengths(draw_scores(frame, RANKING, max_rows=max_rows))
    assert len(set(lengths)) == num_shown


def test_an_empty_ranking_draws_nothing():
    frame = noise(48, 64)
    drawn = draw_scores(frame, [])
    np.testing.assert_array_equal(drawn, frame)
    assert drawn is not frame


def luminance(rgb):
    """Relative luminance of sRGB (WCAG 2.2)."""
    share = np.asarray(rgb) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("height", [32, 256, 720])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_text_is_legible_on_any_background(height, level):
    frame = np.full((height, 2 * height, 3), level, np.uint8)
    drawn = draw_scores(frame, [("MMMM", 0.0)])
    lightest = luminance(drawn).max()
    ground = luminance(drawn[-1, 0])
    assert (lightest + 0.05) / (ground + 0.05) > 7


def test_text_grows_with_the_frame():
    heights = []
    for height in (240, 480, 960):
        frame = noise(height, height)
        heights.append(len(panel_of(frame, draw_scores(frame, [("yoga", 0.5)]))) / height)
    np.testing.assert_allclose(heights, heights[0], atol=0.01)


def names_alone(ranking):
    frame = np.zeros((240, 320, 3), np.uint8)
    return draw_scores(frame, ranking)


def test_a_long_name_ends_in_an_ellipsis_before_the_bar():
    long = [("passing American football (not in game) " * 3, 0.5)]
    drawn, empty = names_alone(long), names_alone([("", 0.5)])
    written = np.flatnonzero((drawn != empty).any((0, 2)))
    bar = np.flatnonzero((drawn == BAR).all(-1).any(0))
    assert written.max() < bar.min()
    assert written.max() - written.min() > 80
    np.testing.assert_array_equal(bar, np.flatnonzero((empty == BAR).all(-1).any(0)))
    same_start = names_alone([(long[0][0][:60], 0.5)])
    np.testing.assert_array_equal(drawn, same_start)


def test_a_name_that_fits_is_written_whole():
    assert not np.array_equal(names_alone([("tai chi", 0.5)]), names_alone([("tai ch…", 0.5)]))


@pytest.mark.parametrize(
    "name", ["漢字 太極拳", "naïve", "two\nlines", "\ud800", "\x00", "", "🏃" * 50]
)
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (32, 32), (240, 320)])
def test_any_name_and_size_can_be_drawn(name, size):
    frame = np.full((*size, 3), 200, np.uint8)
    assert (draw_scores(frame, [(name, 0.5)]) != frame).any()


@pytest.mark.parametrize("score", [-0.1, 1.5, float("nan"), float("inf")])
def test_a_score_outside_0_to_1_is_refused(score):
    with pytest.raises(
        ValueError, match=rf"the score of 'yoga' is {score:g}; pass scores in \[0, 1\]"
    ):
        draw_scores(noise(32, 32), [("yoga", score)])


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="max_rows is 0; show at least 1 class"):
        draw_scores(noise(32, 32), RANKING, max_rows=0)


def frames_of(path):
    with VideoReader(path) as reader:
        return reader.read(range(reader.info.num_frames)).astype(int)


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "video.mp4"
    write_video(path, numbered_frames(20, 96, 128), fps=30000 / 1001)
    return path


@pytest.mark.parametrize(
    "name",
    [
        "made/rot90.mp4",
        "made/xvid_bframes_packed.avi",
        "made/vfr.mp4",
        "made/frames_1.mp4",
        "made/tiny_2x2.mp4",
        "made/fps_1.mp4",
    ],
)
def test_real_videos_keep_frames_rate_and_size(tmp_path, shared_data, name):
    path = shared_data / "zoo" / name
    annotate_video(path, tmp_path / "out.mp4", lambda _: RANKING)
    before, after = probe(path), probe(tmp_path / "out.mp4")
    assert (after.num_frames, after.height, after.width) == (
        before.num_frames,
        before.height,
        before.width,
    )
    assert after.fps == pytest.approx(before.fps, rel=1e-3)


def test_odd_sizes_grow_by_a_repeated_line(tmp_path, shared_data):
    path = shared_data / "zoo" / "made" / "odd_161x121.mp4"
    annotate_video(path, tmp_path / "out.mp4", lambda _: None)
    source, written = frames_of(path), frames_of(tmp_path / "out.mp4")
    assert written.shape[1:3] == (122, 162)
    assert np.abs(written[:, :121, :161] - source).mean() < 3
    assert np.abs(written[:, -1] - written[:, -2]).mean() < 3


def test_a_name_with_a_colon_is_no_protocol(tmp_path, video, monkeypatch):
    monkeypatch.chdir(tmp_path)
    video.rename("pipe:1.mp4")
    annotate_video("pipe:1.mp4", "out.mp4", lambda _: RANKING)
    assert probe("out.mp4").num_frames == 20


def test_a_damaged_video_is_refused_and_nothing_stays(tmp_path, shared_data):
    path = shared_data / "zoo" / "made" / "bad_zeroed_middle.mp4"
    with pytest.raises(VideoReadError, match=r"bad_zeroed_middle\.mp4"):
        annotate_video(path, tmp_path / "out.mp4", lambda _: RANKING)
    assert not list(tmp_path.iterdir())


def test_an_interruption_leaves_the_older_output(tmp_path, video):
    output = tmp_path / "out.mp4"
    output.write_text("older")

    def stop(seconds):
        if seconds > 0.3:
            raise KeyboardInterrupt
        return RANKING

    with pytest.raises(KeyboardInterrupt):
        annotate_video(video, output, stop)
    assert output.read_text() == "older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "video.mp4"]


def test_outputs_that_cannot_be_are_refused(tmp_path, video):
    with pytest.raises(
        ValueError, match=r"the output is '.*a\.avi', but must be an mp4; give a name"
    ):
        annotate_video(video, tmp_path / "a.avi", lambda _: RANKING)
    with pytest.raises(ValueError, match=r"video\.mp4' is the video itself; choose another name"):
        annotate_video(video, video, lambda _: RANKING)
    with pytest.raises(VideoReadError, match="there is no such file"):
        annotate_video(tmp_path / "none.mp4", tmp_path / "a.mp4", lambda _: RANKING)
