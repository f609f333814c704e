import shutil
import subprocess
import sys

import numpy as np
import pytest

from gcvideo.data import read_frames
from gcvideo.data.made._generated_set import generated_set

TWO_MAKERS = """
import sys, time
from pathlib import Path
from gcvideo.data.made._cue import cue_videos

root, me, other = sys.argv[1:]
Path(root, me).touch()
while not Path(root, other).exists():
    time.sleep(0.01)
splits = cue_videos(root=root, train_per_class=10, val_per_class=1, test_per_class=1, rounds=1)
print(len(splits.train), len(splits.val), len(splits.test))
"""


def grey_set(root, *, fail_at=None, during=lambda: None, seed=0, first_level=50):
    """Videos of one grey: dark or bright, and a random shade of it."""
    drawn = []

    def render(name, rng, *, first_level):
        drawn.append(name)
        during()
        if len(drawn) == fail_at:
            raise KeyboardInterrupt
        level = first_level + {"dark": 0, "bright": 100}[name] + rng.integers(40)
        return np.full((3, 16, 16, 3), level, np.uint8)

    return generated_set(
        str(root),
        name="grey",
        version=1,
        seed=seed,
        classes=("bright", "dark"),
        videos_per_class={"train": 2, "val": 1},
        render=render,
        drawing={"first_level": first_level},
    )


def content(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.mp4"))}


def test_a_set_has_its_classes_in_the_given_order_and_what_was_drawn_for_each(tmp_path):
    splits = grey_set(tmp_path)
    assert {name: len(split) for name, split in splits.items()} == {"train": 4, "val": 2}
    for split in splits.values():
        assert split.classes == ("bright", "dark")
        for video, label in enumerate(split.labels):
            level = read_frames(split.path(video), [0]).mean()
            assert (level > 145) == (split.classes[label] == "bright")


def test_the_same_description_gives_the_same_bytes_and_another_one_another_folder(tmp_path):
    folders = []
    for root, changes in (("a", {}), ("b", {}), ("c", {"seed": 1}), ("d", {"first_level": 60})):
        grey_set(tmp_path / root, **changes)
        folders += list((tmp_path / root).iterdir())
    same, again, other_seed, other_level = folders
    assert same.name == again.name
    assert len({folder.name for folder in folders}) == 3
    assert content(same) == content(again)
    assert content(same) != content(other_seed)
    assert content(same) != content(other_level)


def test_moving_pictures_are_the_same_bytes_each_time(tmp_path):
    """With AVX-512, libx264 writes several different files of these with other settings."""
    y, x = np.mgrid[:130, :100]
    frames = np.stack(
        [
            np.stack(
                [127 + 100 * np.sin((x + 2 * t) / 9), 127 + 100 * np.cos((y - t) / 7), x + y], -1
            )
            for t in range(40)
        ]
    ).astype(np.uint8)
    generated_set(
        str(tmp_path),
        name="waves",
        version=1,
        seed=0,
        classes=("wave", "same"),
        videos_per_class={"train": 8},
        render=lambda *_: frames,
        drawing={},
    )
    files = content(tmp_path).values()
    assert (len(files), len(set(files))) == (16, 1)


def test_an_interrupted_set_leaves_nothing_and_is_made_anew(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        grey_set(tmp_path, fail_at=3)
    assert list(tmp_path.iterdir()) == []
    assert len(grey_set(tmp_path)["train"]) == 4


def test_a_set_with_missing_videos_is_named_with_its_remedy(tmp_path):
    train = grey_set(tmp_path)["train"]
    (tmp_path / train.path(0)).unlink()
    message = "the grey set in '.*' has 3 train videos instead of 4; delete the folder"
    with pytest.raises(ValueError, match=message):
        grey_set(tmp_path)


def test_a_set_that_another_process_finished_first_is_taken(tmp_path):
    grey_set(tmp_path / "other")
    (finished,) = (tmp_path / "other").iterdir()

    def finish_first():
        shutil.copytree(finished, tmp_path / "mine" / finished.name, dirs_exist_ok=True)

    assert len(grey_set(tmp_path / "mine", during=finish_first)["train"]) == 4
    assert [path.name for path in (tmp_path / "mine").iterdir()] == [finished.name]


@pytest.mark.slow
def test_two_processes_that_make_a_set_at_once_leave_one(tmp_path):
    command = [sys.executable, "-c", TWO_MAKERS, str(tmp_path)]
    pairs = (("first", "second"), ("second", "first"))
    makers = [
        subprocess.Popen([*command, *pair], stdout=subprocess.PIPE, text=True) for pair in pairs
    ]
    answers = [maker.communicate(timeout=600)[0].splitlines()[-1] for maker in makers]
    assert answers == ["40 4 4"] * 2
    assert [path.name[:4] for path in tmp_path.iterdir() if path.is_dir()] == ["cue-"]
