import itertools

import pytest
from broken_files import empty, truncated, web_page
from encoded_video import encode_sound

import gcvideo
from gcvideo.command.demo._answer import Answer, Drawing
from gcvideo.command.demo._markup import answer_html, message_html
from gcvideo.command.demo._page import reply
from gcvideo.command.demo._process import AnswerError
from gcvideo.data import VideoReadError, probe
from gcvideo.inference import Prediction, TrainedClassifier, classify_windows, merge_segments


def test_a_short_video_gets_the_classes_of_classify_and_no_timeline(answerer, nets, clips):
    answer = answerer("gc")(str(clips["short"]))
    expected = gcvideo.load(nets["gc"]).classify(clips["short"], 5)
    assert [p.name for p in answer.ranking] == [p.name for p in expected]
    assert [p.score for p in answer.ranking] == pytest.approx([p.score for p in expected], abs=1e-5)
    assert answer.segments is None
    assert answer.duration_seconds == pytest.approx(0.5)


def test_the_timeline_of_a_longer_one_holds_the_segments_of_its_windows(answerer, nets, clips):
    answer = answerer("bare")(str(clips["long"]))
    classifier = gcvideo.load(nets["bare"])
    windows = classify_windows(classifier, clips["long"], stride_seconds=0.1, progress=False)
    expected = merge_segments(windows, classifier.classes, threshold=0)
    assert [s.name for s in answer.segments] == [s.name for s in expected]
    for mine, theirs in zip(answer.segments, expected, strict=True):
        assert mine.start_seconds == theirs.start_seconds
        assert mine.end_seconds == theirs.end_seconds
        assert mine.score == pytest.approx(theirs.score, abs=1e-5)
    assert answerer("bare", threshold=1.0)(str(clips["long"])).segments == []


def test_windows_leave_no_time_out_however_long_the_stride(answerer, clips):
    segments = answerer("gc", stride_seconds=60)(str(clips["long"])).segments
    assert segments[0].start_seconds == 0
    assert segments[-1].end_seconds == pytest.approx(2)
    for earlier, later in itertools.pairwise(segments):
        assert earlier.end_seconds == pytest.approx(later.start_seconds)


@pytest.mark.parametrize(
    ("net", "captions"),
    [
        ("nl", ["res4.5 non-local block", "Grad-CAM of res5"]),
        ("gc", ["res4.5 context block", "Grad-CAM of res5"]),
        ("se", ["Grad-CAM of res5"]),
        ("bare", ["Grad-CAM of res5"]),
    ],
)
def test_the_drawings_are_the_map_of_the_last_block_with_one_and_grad_cam(
    answerer, clips, tmp_path, net, captions
):
    answer = answerer(net)(str(clips["short"]))
    assert [d.caption.startswith(c) for c, d in zip(captions, answer.drawings, strict=True)] == [
        True
    ] * len(captions)
    assert bool(answer.note) == (len(captions) == 1)
    for drawing in answer.drawings:
        (tmp_path / "drawing.mp4").write_bytes(drawing.content)
        assert probe(tmp_path / "drawing.mp4").num_frames == 4  # those of a clip


def test_a_net_of_another_program_is_said_to_have_no_maps(answerer, clips, monkeypatch):
    whole = answerer("gc")(str(clips["short"]))
    monkeypatch.setattr(TrainedClassifier, "engine", "openvino")
    monkeypatch.setattr(TrainedClassifier, "engine_model", property(lambda self: self.model))
    made = answerer("gc")
    trained = gcvideo.load(made.settings.checkpoint, device="cpu")
    made._nets = trained, trained
    answer = made(str(clips["short"]))
    assert answer.drawings == []
    assert "exported file, computed by openvino" in answer.note
    assert [p.name for p in answer.ranking] == [p.name for p in whole.ranking]


@pytest.mark.parametrize(("key", "value"), [("engine", "abacus"), ("precision", "int8")])
@pytest.mark.usefixtures("unchecked")
def test_the_net_is_made_ready_as_for_predict(answerer, key, value):
    with pytest.raises(ValueError, match=value):
        answerer("gc", **{key: value})(None)


def test_too_long_a_video_is_refused_with_the_limit_and_the_key(answerer, clips):
    with pytest.raises(
        VideoReadError, match=r"it lasts 0:02.0, but may last 0:01.5; .*max_video_sec"
    ):
        answerer("gc", max_video_seconds=1.5)(str(clips["long"]))


def uploaded(folder, content, name="clip.mp4"):
    (folder / "hash").mkdir(parents=True)
    file = folder / "hash" / name
    file.write_bytes(content)
    return file


def test_a_reply_holds_the_answer_and_deletes_the_upload(answerer, nets, clips, tmp_path):
    file = uploaded(tmp_path / "uploads", clips["long"].read_bytes())
    page = reply(answerer("gc"), str(file))
    best = gcvideo.load(nets["gc"]).classify(clips["long"], 1)[0]
    name = best.name.replace("<", "&lt;").replace(">", "&gt;")
    assert f'<span class="name">{name}</span><span class="score">{best.score:.3f}' in page
    assert page.count("data:video/mp4;base64,") == 2
    assert 'class="timeline"' in page
    assert list((tmp_path / "uploads").iterdir()) == []
    assert reply(answerer("gc"), None) == ""


def sound_alone(path):
    encode_sound(path)


def playlist(path):
    path.write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n")


@pytest.mark.parametrize("spoil", [empty, web_page, truncated, sound_alone, playlist])
def test_a_file_that_is_no_video_gets_a_plain_message_and_the_next_one_its_answer(
    answerer, clips, tmp_path, spoil
):
    ask = answerer("gc")
    file = uploaded(tmp_path / "uploads", clips["short"].read_bytes())
    spoil(file)
    page = reply(ask, str(file))
    assert page.startswith('<p class="message" role="alert">This video cannot be classified: ')
    assert page.endswith("; try another file.</p>")
    assert str(tmp_path) not in page
    assert not file.exists()
    good = uploaded(tmp_path / "others", clips["short"].read_bytes())
    assert 'class="ranking"' in reply(ask, str(good))


@pytest.mark.parametrize(
    "name", ["$(touch made); rm x.mp4", "-y.mp4", "a:b|c.mp4", "<i>&\"'.mp4", "%d.mp4"]
)
def test_odd_names_are_only_names(answerer, clips, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    file = uploaded(tmp_path / "uploads", clips["short"].read_bytes(), name)
    page = reply(answerer("bare"), str(file))
    assert 'class="ranking"' in page
    assert name not in page
    assert [path.name for path in tmp_path.iterdir()] == ["uploads"]


def test_an_upload_beside_another_is_deleted_alone(clips, tmp_path):
    file = uploaded(tmp_path, b"first")
    other = file.with_name("other.mp4")
    other.write_bytes(b"second")

    def refuse(path):
        raise AnswerError("it took more than 3 seconds")

    assert "cannot be classified: it took more than 3 seconds." in reply(refuse, str(file))
    assert list(file.parent.iterdir()) == [other]


def test_a_fault_of_the_program_is_a_message_in_the_page_and_a_trace_in_the_terminal(
    tmp_path, capsys
):
    def fail(path):
        raise RuntimeError(f"secret {path}")

    page = reply(fail, str(uploaded(tmp_path, b"")))
    assert "the program has failed" in page
    assert "secret" not in page
    assert "RuntimeError: secret" in capsys.readouterr().err


def test_names_of_classes_are_text_in_the_page():
    odd = '<script>alert(1)</script>"\udcff'
    segment = Prediction(1, odd, 0.5, 1.0, 3.0)
    answer = Answer(
        ranking=[Prediction(1, odd, 0.25)],
        duration_seconds=4,
        segments=[segment],
        drawings=[Drawing(odd, b"x")],
        note=odd,
    )
    page = answer_html(answer)
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;&quot;\\udcff") == 6
    assert 'style="left:25.00%;width:50.00%" data-seconds="1.000"' in page
    assert "width:25.0%" in page
    page.encode()
    assert message_html("<b>") == '<p class="message" role="alert">&lt;b&gt;</p>'
    nothing = Answer(ranking=[], duration_seconds=4, segments=[], drawings=[], note="")
    assert "In no window does a class reach the threshold" in answer_html(nothing)
