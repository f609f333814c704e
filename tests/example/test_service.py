"""Answers of the service of examples, with the package as pip installs it."""

import contextlib
import re

import numpy as np
import pytest
from broken_files import empty, truncated, web_page
from conftest import numbered_frames
from running_service import form

from gcvideo.data import VideoReadError, write_video
from gcvideo.inference import classify_windows

pytestmark = pytest.mark.slow


def check_ranking(rows, expected):
    assert [(row["label"], row["name"]) for row in rows] == [(p.label, p.name) for p in expected]
    assert [row["score"] for row in rows] == pytest.approx([p.score for p in expected], abs=1e-5)


def test_an_upload_is_answered_as_the_classifier_does(service, classifier, clip):
    for upload in ({"body": clip.read_bytes()}, form(clip.read_bytes())):
        status, answer = service.ask("/classify?top_k=2", **upload)
        assert status == 200
        check_ranking(answer["predictions"], classifier.classify(clip, top_k=2))


def test_with_a_stride_the_answer_is_the_timeline(service, classifier, tmp_path):
    path = tmp_path / "long.mp4"
    write_video(path, np.concatenate([numbered_frames(40)] * 10))
    status, answer = service.ask("/classify?stride_seconds=1&top_k=1", path.read_bytes())
    assert status == 200
    expected = classify_windows(classifier, path, stride_seconds=1, progress=False)
    windows = answer["windows"]
    assert len(windows) == 15
    assert [window["start_seconds"] for window in windows] == expected.starts.tolist()
    assert [window["end_seconds"] for window in windows] == expected.ends.tolist()
    for window, scores in zip(windows, expected.scores, strict=True):
        check_ranking(window["predictions"], classifier.rank(scores, 1))


@pytest.mark.parametrize("breaking", [empty, web_page, truncated])
def test_a_broken_upload_gets_the_reason_and_no_path(service, classifier, clip, tmp_path, breaking):
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip.read_bytes())
    breaking(path)
    with pytest.raises(VideoReadError) as caught:
        classifier.classify(path)
    before = service.count(422)
    status, answer = service.ask("/classify", path.read_bytes())
    assert status == 422
    detail = f"cannot read the video: {caught.value.reason}; {caught.value.remedy}"
    assert answer == {"detail": detail}
    assert "/" not in detail
    assert service.count(422) == before + 1


def test_what_is_no_upload_or_has_a_wrong_query_is_refused(service, clip):
    content = clip.read_bytes()
    nothing = form(b"")
    nothing["body"] = nothing["body"].replace(b'; filename="clip.mp4"', b"")
    status, answer = service.ask("/classify", **nothing)
    assert (status, answer["detail"][:16]) == (400, "there is no file")
    for query in ("top_k=0", "stride_seconds=0", "stride_seconds=nan", "stride_seconds=x"):
        status, answer = service.ask(f"/classify?{query}", content)
        assert (status, answer["detail"][0]["loc"]) == (422, ["query", query.partition("=")[0]])
    assert service.ask("/classify")[0] == 405
    assert service.ask("/docs")[0] == 404


def test_too_much_is_refused_while_it_arrives(service, tmp_path):
    before, large = service.count(413), bytes(2**20)
    chunks = (large[: 2**14] for _ in range(2**6))
    for upload in ({"body": large}, {"body": chunks}, form(large)):
        status, answer = service.ask("/classify", **upload)
        assert (status, answer["detail"]) == (413, "an upload may have 0.2 MB; send less")
    assert service.count(413) == before + 3
    path = tmp_path / "long.mp4"
    write_video(path, np.concatenate([numbered_frames(40)] * 20))
    status, answer = service.ask("/classify", path.read_bytes())
    reason = "it has 800 frames of 64 x 48 pixels; send at most 0.002 gigapixels"
    assert (status, answer["detail"]) == (422, f"cannot read the video: {reason}")


def test_metrics_count_requests_and_time_their_stages(service, clip):
    stages = [f'gcvideo_seconds_count{{stage="{s}"}}' for s in ("wait", "read", "net", "total")]
    before, count = [service.metric(stage) for stage in stages], service.count(200)
    for _ in range(3):
        service.ask("/classify", clip.read_bytes())
    assert [service.metric(stage) for stage in stages] == [number + 3 for number in before]
    assert service.count(200) == count + 3
    assert service.count(500) == 0
    assert service.ask("/healthz") == (200, {"status": "alive"})


def test_the_load_of_the_benchmarks_finds_no_fault(service, benchmark, clip, monkeypatch, capsys):
    load = benchmark("service_load")
    running = object.__new__(load.Service)
    running.process, running.port, running.stop = service.process, service.port, list
    monkeypatch.setattr(load, "running", lambda *_: contextlib.nullcontext(running))
    words = ["--requests=60", "--clients=3", "--broken=0.2"]
    status = load.main(["net", str(clip), *words])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    (good, broken) = re.findall(r"^(?:good|broken) .*  (\d+) x (?:200|422)$", printed.out, re.M)
    assert int(good) + int(broken) == 60
    assert int(broken) > 3
    assert re.search(r"^after 60 +\d+\.\d +\d+\.\d +5$", printed.out, re.M)
