import pytest
import torch

import gcvideo
from gcvideo.command._exporting import export
from gcvideo.data import VideoReadError, read_views


def test_a_trained_checkpoint_is_exported_with_its_crop_and_its_videos(
    compose_config, tmp_path, checkpoint, video_folder, capsys
):
    output = tmp_path / "new" / "net.pt2"
    given = [f"checkpoint={checkpoint}", f"output={output}", "crop_size=32"]
    videos = f"{video_folder}/dark/dark_[01].mp4"
    differences = export(compose_config("export", [*given, f"video='{videos}'"]))
    video = str(video_folder / "dark" / "dark_1.mp4")
    assert len(differences) == 6 + 2
    assert differences[video] < 1e-4
    printed = capsys.readouterr().out
    assert "random clips, batch of 3" in printed
    classifier = gcvideo.load(checkpoint, device="cpu")
    clips = read_views(video, classifier.protocol.single_view())
    extra_files = {"gcvideo.json": ""}
    program = torch.export.load(output, extra_files=extra_files).module()
    torch.testing.assert_close(program(clips)["scores"][0].detach(), classifier.scores(video))
    assert f'"checkpoint": "{checkpoint}"' in extra_files["gcvideo.json"]
    assert [path.name for path in output.parent.iterdir()] == ["net.pt2"]


def test_an_unreadable_video_ends_the_export_without_a_file(compose_config, tmp_path, checkpoint):
    (tmp_path / "broken.mp4").write_bytes(b"")
    given = [f"checkpoint={checkpoint}", f"output={tmp_path}/net.pt2"]
    with pytest.raises(VideoReadError, match="the file is empty"):
        export(compose_config("export", [*given, f"video={tmp_path}/broken.mp4"]))
    assert [path.name for path in tmp_path.iterdir()] == ["broken.mp4"]
