import pytest

from gcvideo._draft import draft_of


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
