import pytest

from gcvideo._draft import draft_of, no_drafts


def test_a_draft_takes_the_place_of_a_file_and_an_interrupted_one_leaves_it(tmp_path):
    path = tmp_path / "sheet.png"
    with draft_of(path) as draft:
        draft.write_text("older")
        assert draft.suffix == ".png"
        assert not path.exists()

    def interrupt():
        with draft_of(path) as draft:
            draft.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "older"


def test_drafts_of_killed_writers_go_and_those_of_other_files_stay(tmp_path):
    def leave_behind(*names):
        drafts = []
        for name in names:
            with draft_of(tmp_path / name, several_writers=True) as draft:
                draft.touch()
                drafts.append(draft)
            (tmp_path / name).rename(draft)
        return drafts

    mine = ["a.mp4", "b.draft.mp4", "no_suffix", "odd\n[1].mp4"]
    others = leave_behind("other.mp4", "a.avi", "a.mp4.mp4")
    leave_behind(*mine)
    paths = [tmp_path / name for name in mine]
    with no_drafts([*paths, tmp_path / "no folder" / "a.mp4"]):
        assert sorted(tmp_path.iterdir()) == sorted(others)
        leave_behind(*mine)
    assert sorted(tmp_path.iterdir()) == sorted(others)
