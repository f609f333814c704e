import json


def test_the_convolution_benchmark_compares_equal_results(benchmark, tmp_path, monkeypatch):
    convolution = benchmark("convolution")
    monkeypatch.setattr(convolution, "keep_freed_memory", lambda: True)
    tiny = ((16, 8, 2, 6, (1, 3, 3), 1), (16, 8, 2, 6, (1, 1, 1), 2))
    monkeypatch.setattr(convolution, "LAYERS", tiny)
    file = tmp_path / "convolution.json"
    assert convolution.main(["--layers", "0", "1", "--rounds", "1", "--json", str(file)]) == 0
    rows = json.loads(file.read_text())
    assert [row["reference"] for row in rows] == ["contiguous", "channels-last", "folded"] * 2
    assert all("differs by" in row["note"] for row in rows)


def test_a_wrong_convolution_is_not_timed(benchmark, monkeypatch, capsys):
    convolution = benchmark("convolution")
    monkeypatch.setattr(convolution, "keep_freed_memory", lambda: True)
    monkeypatch.setattr(convolution, "LAYERS", ((16, 8, 2, 6, (1, 1, 1), 1),))
    monkeypatch.setattr(
        convolution, "step", lambda conv, x, grad, _: (conv(x) + x.is_contiguous(),)
    )
    assert convolution.main(["--layers", "0", "--rounds", "1"]) == 1
    assert "results differ by" in capsys.readouterr().err
