import json
import sys

import pytest
from gcvideo_runs import TINY

WORDS = [*TINY, "model=c2d", "data=folder", "epochs=2", "batch_size=2", "num_threads=1"]


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory of Linux")
def test_an_estimate_stands_beside_the_training_itself(
    benchmark, video_folder, tmp_path, monkeypatch, capsys
):
    path = tmp_path / "estimates.json"
    words = [*WORDS, f"data.root={video_folder}", "weights=null"]
    monkeypatch.chdir(tmp_path)
    benchmark("estimates").main([*words, "--json", str(path)])
    printed = capsys.readouterr().out
    assert "time: foretold" in printed
    assert "memory: foretold" in printed
    (line,) = path.read_text().splitlines()
    content = json.loads(line)
    assert content["words"] == words
    for name in ("seconds", "num_bytes"):
        figures = content[name]
        assert figures["ratio"] == pytest.approx(figures["measured"] / figures["foretold"])
        # Wide bounds: a net this small is quick, and its first steps are not.
        assert 0.2 < figures["ratio"] < 20
    assert [p.name for p in tmp_path.iterdir()] == ["estimates.json"]
