import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from speed_figure import write_profile_figure, write_speed_figure
from speed_table import Row
from step_profile import StepProfile

ROWS = [
    Row("pooling", "published", 1.0, 4.0, "ms", 4.0, 3.5, 4.5),
    Row("pooling", "timm", 1.0, 0.5, "ms", 0.5),
    Row("pooling", "mmcv", None, None, "", None, note="left out: not there"),
]


@pytest.fixture
def axes_of(monkeypatch):
    """The axes of the figure that was saved last."""
    saved = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: (saved.append(self), save(self, *a, **k))[1]
    )
    return lambda: saved[-1].axes[0]


def test_bars_go_from_one_to_the_ratio_on_a_logarithmic_axis(tmp_path, axes_of):
    file = tmp_path / "speed.png"
    write_speed_figure(ROWS, file, "a machine")
    axes = axes_of()
    bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert [(bar.get_x(), bar.get_width()) for bar in bars] == [(1, 3.0), (1, -0.5)]
    assert len({bar.get_facecolor() for bar in bars}) == 2
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.texts] == ["4.00  published", "0.50  timm"]
    # One name for the lines of one case, the first on top.
    assert [label.get_text() for label in axes.get_yticklabels()] == ["pooling", ""]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    with Image.open(file) as picture:
        assert picture.format == "PNG"
    assert list(tmp_path.iterdir()) == [file]


def test_names_of_references_lie_within_the_picture(tmp_path, axes_of):
    rows = [Row("step", "a net of another package, contiguous", 1.0, 2.0, "ms", 2.0)]
    write_speed_figure(rows, tmp_path / "speed.png", "a machine")
    (text,) = axes_of().texts
    figure = axes_of().figure
    assert text.get_window_extent().x1 <= figure.bbox.x1


def test_a_figure_without_any_ratio_is_empty(tmp_path):
    write_speed_figure(ROWS[2:], tmp_path / "speed.png", "a machine")
    with Image.open(tmp_path / "speed.png") as picture:
        assert picture.format == "PNG"


def test_the_parts_of_a_step_have_bars_of_their_milliseconds(tmp_path, axes_of):
    file = tmp_path / "profile.png"
    profile = StepProfile({"decode": 1.0, "forward": 2.0}, total=4.0, num_steps=2, num_clips=8)
    write_profile_figure(profile, file, "a machine")
    axes = axes_of()
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [
        *("decode", "transform", "transfer", "forward", "backward", "optimizer", "other")
    ]
    widths = [patch.get_width() for patch in axes.patches]
    assert widths == [500, 0, 0, 1000, 0, 0, 500]
    assert axes.texts[3].get_text() == "1000.0 ms, 50.0%"
    assert "8 clips" in axes.get_xlabel()
    with Image.open(file) as picture:
        assert picture.format == "PNG"
