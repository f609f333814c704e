import importlib
import os

import pytest

from gcvideo.command._output_check import OutputError, check_file, check_folder, make_folder
from gcvideo.command.compare import _comparing as comparing


def test_a_place_that_can_be_written_is_left_as_it_was(tmp_path):
    (tmp_path / "old.json").write_text("older")
    for path in ("old.json", "new.json", "a/b/c.json", "a file.json"):
        check_file(tmp_path / path, "output")
    check_folder(tmp_path / "a" / "b", "output")
    assert [path.name for path in tmp_path.iterdir()] == ["old.json"]
    assert (tmp_path / "old.json").read_text() == "older"
    make_folder(tmp_path / "a" / "b", "output")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_path_in_the_working_folder_can_be_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_file("new.json", "output")
    check_folder("new/folder", "output")


def test_what_cannot_be_written_is_named_with_reason_and_key(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "at all")
    with pytest.raises(
        OutputError, match=rf"^output is '{tmp_path}', which is a folder; give the name"
    ):
        check_file(tmp_path, "output")
    for check, path in (
        (check_file, "file/a.json"),
        (check_folder, "file"),
        (check_folder, "file/a/b"),
        (make_folder, "file"),
        (check_file, "link/a.json"),
    ):
        with pytest.raises(
            OutputError, match=r"' cannot be written: .*; make it .* with key=\.\.\."
        ):
            check(tmp_path / path, "key")
    with pytest.raises(OutputError, match="not a folder; go elsewhere"):
        check_file(tmp_path / "file" / "a.json", "output", remedy="go elsewhere")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_somebody_else_is_named(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="this user may not write there"):
            check_file(tmp_path / "a.json", "output")
    finally:
        tmp_path.chmod(0o700)


# Command, its function, what names its output, and what must not be reached.
COMMANDS = [
    ("test", "_testing:test", "output_dir={file}", "build_trainer"),
    ("probe", "_probing:probe", "output_dir={file}", "score_under_probes"),
    ("attention_show", "attention._show:attention_show", "output={file}", "load"),
    ("check", "dataset._checking:check", "output_dir={file}", "work_through"),
    ("reencode", "dataset._reencoding:reencode", "output={file}", "work_through"),
    ("export", "_exporting:export", "output={file}/net.onnx", "load"),
    ("convert", "_converting:convert", "output={file}/net.safetensors", "read_checkpoint"),
    ("cost", "_costing:cost", "output={file}", "_count"),
    ("benchmark", "speed:benchmark", "json={file}/a.json", "measure_roofline"),
    ("benchmark", "speed:benchmark", "figure={file}/a.png", "measure_roofline"),
    ("kinetics", "dataset._kinetics:kinetics", "output={file}", "match_clips"),
]
DATA = ["data=folder", "data.root={videos}"]
WORDS = {
    "test": ["checkpoint={checkpoint}"],
    "probe": ["checkpoint={checkpoint}", "device=cpu"],
    "attention_show": ["checkpoint={checkpoint}", "video={videos}/dark/dark_0.mp4"],
    "check": DATA,
    "reencode": DATA,
    "export": ["checkpoint={checkpoint}"],
    "convert": ["source={checkpoint}"],
    "kinetics": ["csv={table}", "root={videos}"],
}


@pytest.mark.parametrize(("config", "function", "output", "work"), COMMANDS)
def test_an_output_that_cannot_be_written_is_told_before_the_work(
    compose_config, tmp_path, video_folder, checkpoint, monkeypatch, config, function, output, work
):
    file, table = tmp_path / "file", tmp_path / "train.csv"
    file.touch()
    table.write_text("label,youtube_id,time_start,time_end,split\nzumba,fine,5,15,train\n")
    module, _, name = function.partition(":")
    module = importlib.import_module(module if module == "speed" else f"gcvideo.command.{module}")
    monkeypatch.setattr(module, work, None)
    places = {"file": file, "videos": video_folder, "checkpoint": checkpoint, "table": table}
    words = [word.format(**places) for word in [*WORDS.get(config, []), output]]
    with pytest.raises(OutputError, match=rf"'{file}\S*' cannot be written: .* with \S+=\.\.\.$"):
        getattr(module, name)(compose_config(config, words))
    assert file.read_text() == ""


def test_a_comparison_tells_of_its_folder_before_it_builds_a_net(
    tmp_path, video_folder, monkeypatch
):
    (tmp_path / "file").touch()
    monkeypatch.setattr(comparing, "plan_variants", None)
    words = ["model=c2d", "block=none,gc", "data=folder", f"data.root={video_folder}"]
    with pytest.raises(OutputError, match=r"file' cannot be written: .* with folder=\.\.\."):
        comparing.compare([*words, f"folder={tmp_path / 'file'}"])
