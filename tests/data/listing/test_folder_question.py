from itertools import product
from pathlib import Path

import pytest

from gcvideo.data.listing._annotation import read_annotations


def make(root: Path, *levels: list[str]) -> Path:
    for parts in product(*levels):
        for name in ("0.mp4", "1.mp4"):
            file = root.joinpath(*parts, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    return root


@pytest.mark.parametrize("names", [["train", "val"], ["Training", "TEST"], ["valid"]])
def test_folders_called_like_splits_are_no_classes(tmp_path: Path, names: list[str]) -> None:
    make(tmp_path, names, ["jump", "wave"])
    with pytest.raises(ValueError, match=f"{names[0]}.*called like splits, .* data.root="):
        read_annotations(tmp_path, root=tmp_path)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    make(tmp_path, ["car", "train"])
    assert read_annotations(tmp_path, root=tmp_path).classes == ("car", "train")


def test_classes_that_hold_splits_are_refused(tmp_path: Path) -> None:
    make(tmp_path, ["jump", "wave"], ["train", "test"])
    with pytest.raises(ValueError, match=r"\(jump, wave\).*\(test, train\).* above the classes"):
        read_annotations(tmp_path, root=tmp_path)


def test_numbered_folders_that_hold_the_same_names_are_no_classes(tmp_path: Path) -> None:
    make(tmp_path, ["subject1", "subject2", "subject3"], ["run", "walk"])
    with pytest.raises(ValueError, match=r"\(run, walk\): the inner ones look like the classes"):
        read_annotations(tmp_path, root=tmp_path)
    names = ["subject1", "subject2", "subject3"]
    assert len(read_annotations(tmp_path, root=tmp_path, classes=names)) == 12


def test_folders_that_hold_the_same_names_are_questioned(tmp_path: Path) -> None:
    make(tmp_path, ["anna", "bob"], ["run", "walk"])
    with pytest.warns(UserWarning, match=r"\(anna, bob\) has the same folders \(run, walk\); gcv"):
        assert read_annotations(tmp_path, root=tmp_path).classes == ("anna", "bob")


@pytest.mark.parametrize("inner", [["subject1", "subject2"], ["videos"]])
def test_subjects_below_classes_are_as_they_should_be(tmp_path: Path, inner: list[str]) -> None:
    make(tmp_path, ["run", "walk"], inner)
    assert read_annotations(tmp_path, root=tmp_path).classes == ("run", "walk")


def test_a_root_one_level_too_high_names_the_right_one(tmp_path: Path) -> None:
    make(tmp_path, ["ucf"], ["jump", "wave"])
    with pytest.raises(ValueError, match=r"has one folder, ucf, .* data\.root=.*ucf if"):
        read_annotations(tmp_path, root=tmp_path)
