import pytest

from gcvideo.command.configuration._command_words import CommandWordError, read_words, search_path


def predict_words(*words):
    given = {"config_name": "predict", "plain": ("checkpoint", "video*")}
    return list(read_words("predict", words, **given).overrides)


def test_values_alone_get_their_keys_in_order():
    assert predict_words("a.ckpt", "b.mp4") == ["checkpoint='a.ckpt'", "video='b.mp4'"]
    assert predict_words("a.ckpt", "b.mp4", "top_k=3", "c d.mp4") == [
        "checkpoint='a.ckpt'",
        "video=['b.mp4','c d.mp4']",
        "top_k=3",
    ]


def test_a_key_that_is_given_is_passed_over():
    assert predict_words("checkpoint=a.ckpt", "b.mp4") == ["video='b.mp4'", "checkpoint='a.ckpt'"]
    assert predict_words("b.ckpt", "video=c.mp4") == ["checkpoint='b.ckpt'", "video='c.mp4'"]


def test_a_file_with_an_equals_sign_in_its_name_stands_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "take=1.mp4").touch()
    assert predict_words("a.ckpt", "take=1.mp4") == ["checkpoint='a.ckpt'", "video='take=1.mp4'"]
    # A misspelled key is no file: what comes near is told when it meets the configuration.
    assert predict_words("a.ckpt", "vidoe=1.mp4") == ["checkpoint='a.ckpt'", "vidoe=1.mp4"]


def test_a_deletion_of_hydra_does_not_stand_alone():
    words = read_words("train", ["~logger.timing", "lr=1"], config_name="train")
    assert words.overrides == ("~logger.timing", "lr=1")


def test_flags_go_to_hydra_wherever_they_stand():
    words = ["model=c2d", "-m", "lr=1,2", "--cfg", "job", "--package", "model"]
    read = read_words("train", words, config_name="train", is_swept=True)
    assert read.overrides == ("model=c2d", "lr=1,2")
    assert read.flags == ("-m", "--cfg", "job", "--package", "model")
    assert read.is_sweep
    assert read.is_shown
    assert read_words("train", ["-cn", "mine"], config_name="train").config_name == "mine"


def test_own_folders_become_a_search_path(tmp_path):
    folder = tmp_path / "a, (b)"
    folder.mkdir()
    read = read_words("train", ["lr=1", "-cd", str(folder)], config_name="train")
    assert read.flags == ()
    assert search_path(read.overrides) == [folder]
    assert search_path(["lr=1"]) == []


@pytest.mark.parametrize("word", ["resume=runs/a b", "+resume=runs/a b", "++resume='runs/a b'"])
def test_a_run_to_go_on_with_is_found(word):
    assert read_words("train", [word], config_name="train").resume == "runs/a b"


def test_null_is_no_run_to_go_on_with():
    assert read_words("train", ["resume=null"], config_name="train").resume is None


def test_words_without_a_use_are_refused():
    with pytest.raises(CommandWordError, match="'x' stands alone, but 'train' takes words of the"):
        read_words("train", ["x"], config_name="train")
    with pytest.raises(
        CommandWordError, match="besides KEY=VALUE, 'export' takes checkpoint and out"
    ):
        read_words("export", ["a", "b", "c"], config_name="export", plain=("checkpoint", "output"))
