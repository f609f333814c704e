from itertools import product
from pathlib import Path

import pytest

from gcvideo.data import annotated_videos
from gcvideo.data.listing._video_folder import held_out_source, split_name


def make(root: Path, *splits: str, num_videos: int = 2) -> Path:
    """Classes a and b in folders of splits; "" is the root itself."""
    for split, name, number in product(splits, "ab", range(num_videos)):
        file = root / split / name / f"{number}.mp4"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return root


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("train", ["train", "Train", "TRAIN", "training"]),
        ("val", ["val", "valid", "VALIDATION", "validate"]),
        ("test", ["test", "Testing"]),
        (None, ["trains", "evaluate", "wave", ""]),
    ],
)
def test_splits_go_by_several_names_in_any_case(split: str | None, names: list[str]) -> None:
    assert {split_name(name) for name in names} == {split}


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("TRAIN", "Valid", "Testing"), ("training", "validation")]
)
def test_folders_of_splits_are_found(tmp_path: Path, names: tuple[str, ...]) -> None:
    splits = annotated_videos(root=str(make(tmp_path, *names)))
    for name, part in zip(names, (splits.train, splits.val, splits.test), strict=False):
        assert {path.split("/")[0] for path in part.paths} == {name}
    assert (splits.test is splits.val) == (len(names) == 2)
    assert splits.classes == ("a", "b")
    assert not splits.is_drawn


def test_a_given_val_serves_as_test_whatever_folders_there_are(tmp_path: Path) -> None:
    splits = annotated_videos(root=str(make(tmp_path, "train", "more", "test")), val="more")
    assert splits.test is splits.val


def test_a_class_without_folders_of_its_own_may_be_called_train(tmp_path: Path) -> None:
    for name in ("bus", "train"):
        (tmp_path / name).mkdir()
        for number in range(2):
            (tmp_path / name / f"{number}.mp4").touch()
    assert annotated_videos(root=str(tmp_path)).classes == ("bus", "train")


def test_two_folders_of_one_split_are_refused_unless_one_is_named(tmp_path: Path) -> None:
    root = make(tmp_path, "train", "val", "validation")
    with pytest.raises(ValueError, match=r"'val' and 'validation', .* with data\.val="):
        annotated_videos(root=str(root))
    assert annotated_videos(root=str(root), val="validation").val.paths[0] == "validation/a/0.mp4"


def test_a_root_with_a_test_alone_has_nothing_to_train_on(tmp_path: Path) -> None:
    make(tmp_path, "val", "test")
    with pytest.raises(ValueError, match=r"has a folder .*but none called train; give data\.train"):
        annotated_videos(root=str(tmp_path))


def test_what_is_held_out_is_the_test_else_the_val_else_all(tmp_path: Path) -> None:
    assert held_out_source(make(tmp_path, "")) == str(tmp_path)
    assert held_out_source(make(tmp_path, "Valid")) == str(tmp_path / "Valid")
    assert held_out_source(make(tmp_path, "testing")) == str(tmp_path / "testing")
    assert held_out_source(tmp_path, ["testing"]) == str(tmp_path / "Valid")
