import csv
import pickle
import shutil

import numpy as np
import pytest
import torch
from broken_files import UNREADABLE, damage_packet, empty
from small_data import random_crop
from small_protocol import make_protocol
from torch.utils.data import DataLoader

from gcvideo.data import (
    EvaluationVideos,
    TrainingVideos,
    TrainTransform,
    VideoReader,
    VideoReadError,
    read_annotations,
)
from gcvideo.data.loading._dataset import collate_videos
from gcvideo.data.loading._failure import VideoProblem, describe_problems, write_bad_videos


@pytest.fixture
def folder(video_folder, tmp_path):
    """A copy of the class folders that a test may break files of."""
    return shutil.copytree(video_folder, tmp_path / "videos")


@pytest.fixture
def make_videos(folder):
    # Listed before any file goes missing.
    annotations = read_annotations(folder, root=folder)

    def make(**changes):
        given = {"protocol": make_protocol(), "transform": random_crop()}
        return TrainingVideos(annotations, **(given | {"clips_per_video": 2} | changes))

    return make


@pytest.mark.parametrize("breaking", UNREADABLE)
def test_an_unreadable_video_is_replaced_by_another_with_its_own_label(
    folder, make_videos, breaking
):
    videos = make_videos()
    path = folder / "dark" / "dark_3.mp4"
    breaking(path)
    item = videos[1, 3]
    (problem,) = item["problems"]
    assert (problem.video, problem.path, problem.replaced_by) == (3, str(path), item["video"])
    assert item["video"] != 3
    assert item["labels"].tolist() == [videos.annotations.labels[item["video"]]] * 2
    with pytest.raises(VideoReadError) as caught:
        VideoReader(path)
    assert problem.reason == caught.value.reason


def test_the_replacement_depends_on_seed_and_epoch_and_on_nothing_else(folder, make_videos):
    empty(folder / "dark" / "dark_3.mp4")

    def shown(seed=0):
        videos = make_videos(seed=seed)
        return [videos[epoch, 3]["video"] for epoch in range(12)]

    assert shown() == shown()
    assert shown() != shown(seed=1)
    # Twelve draws of eleven videos: about 7.5 distinct ones.
    assert len({*shown()}) > 4


def test_a_replacement_is_shown_with_the_random_numbers_of_the_slot(folder, make_videos):
    empty(folder / "dark" / "dark_3.mp4")
    seeds = []

    class Transform(TrainTransform):
        def __call__(self, clip, label, seed):
            seeds.append(seed)
            return super().__call__(clip, label, seed)

    videos = make_videos(transform=Transform([]))
    replaced = videos[0, 3]["video"]
    expected = []
    for view in range(2):
        rng = np.random.default_rng([0, 0, 3, view])
        videos.protocol.sampling.train(20, 30.0, videos.protocol.spec, rng)
        expected.append(int(rng.integers(2**63)))
    assert seeds == expected
    videos[0, replaced]
    assert not {*seeds[2:]} & {*expected}


def test_bad_videos_are_passed_over_until_a_good_one_is_found(folder, make_videos):
    for path in sorted(folder.rglob("*.mp4")):
        if path.stem not in ("dark_1", "light_5"):
            empty(path)
    item = make_videos()[0, 0]
    assert item["video"] in (1, 11)
    tried = [problem.video for problem in item["problems"]]
    assert tried[0] == 0
    assert len(tried) == len({*tried})
    assert {problem.replaced_by for problem in item["problems"]} == {item["video"]}


def test_ten_bad_videos_in_a_row_end_the_training_with_the_first(folder, make_videos):
    videos = make_videos()
    for path in folder.rglob("*.mp4"):
        empty(path)
    with pytest.raises(
        VideoReadError,
        match=r"dark_4\.mp4': the file is empty; none of the 10 videos tried in its place can be read either, "
        r"such as '.*mp4' \(the file is empty\); check data\.root and the disk it is on",
    ):
        videos[0, 4]


def test_the_stream_of_replacements_is_none_of_the_views(make_videos):
    videos = make_videos(clips_per_video=4, seed=3)
    with_first = list(videos._candidates(5, 2))
    assert with_first[0] == 2
    assert len({*with_first}) == len(with_first) == 11
    for view in range(4):
        others = np.random.default_rng([3, 5, 2, view]).choice(12, 11, replace=False)
        assert with_first[1:] != [v for v in others if v != 2][:10]


def test_a_damaged_video_is_shown_without_its_damaged_packets_in_training(folder, make_videos):
    path = folder / "light" / "light_2.mp4"
    damage_packet(path)
    item = make_videos()[0, 8]
    assert item["video"] == 8
    (problem,) = item["problems"]
    assert problem == VideoProblem(8, str(path), problem.reason, 1, None)
    assert "decoding failed" in problem.reason
    with VideoReader(path, tolerant=True) as reader:
        assert reader.info.num_frames == 19


def test_an_evaluation_replaces_nothing_and_names_the_file(folder):
    videos = EvaluationVideos(
        read_annotations(folder, root=folder), protocol=make_protocol(num_clips=10)
    )
    assert videos[3]["problems"] == ()
    damage_packet(folder / "dark" / "dark_3.mp4")
    empty(folder / "dark" / "dark_4.mp4")
    with pytest.raises(VideoReadError, match=r"dark_3\.mp4': decoding failed"):
        videos[3]
    with pytest.raises(VideoReadError, match=r"dark_4\.mp4': the file is empty"):
        videos[4]


def test_problems_reach_the_batch_from_workers_one_after_another(folder, make_videos):
    videos = make_videos()
    for number in (1, 3):
        empty(folder / "dark" / f"dark_{number}.mp4")
    keys = [(0, video) for video in range(4)]
    for workers in (0, 1):
        loader = DataLoader(
            videos, batch_size=4, sampler=keys, num_workers=workers, collate_fn=collate_videos
        )
        (batch,) = loader
        assert [problem.video for problem in batch["problems"]][:1] == [1]
        assert {problem.path[-10:] for problem in batch["problems"]} == {"dark_1.mp4", "dark_3.mp4"}
        for video, views in zip(batch["video"].tolist(), batch["views"], strict=True):
            assert views.shape[0] == 2
            assert 0 <= video < 12
    assert pickle.loads(pickle.dumps(batch["problems"])) == batch["problems"]


def test_a_pickled_data_set_gives_the_same_items(folder, make_videos):
    """What a spawned worker gets."""
    empty(folder / "dark" / "dark_1.mp4")
    videos = make_videos(time_budget_seconds=30.0)
    again = pickle.loads(pickle.dumps(videos))
    assert again[0, 1]["problems"] == videos[0, 1]["problems"]
    assert torch.equal(again[0, 1]["views"], videos[0, 1]["views"])


def test_the_table_of_bad_videos_is_complete_and_leaves_no_draft(tmp_path):
    problems = [
        VideoProblem(4, "a, b.mp4", "the file is empty", 0, 7),
        VideoProblem(5, "c\udcff.mp4", "decoding failed", 3, None),
    ]
    write_bad_videos(tmp_path / "bad_videos.csv", problems)
    with (tmp_path / "bad_videos.csv").open(newline="", errors="surrogateescape") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == ["a, b.mp4", "c\udcff.mp4"]
    assert [row["damaged_packets"] for row in rows] == ["0", "3"]
    assert [row["status"] for row in rows] == ["unreadable", "damaged"]
    assert [path.name for path in tmp_path.iterdir()] == ["bad_videos.csv"]


def test_a_long_list_of_problems_is_cut_with_a_count():
    problems = [VideoProblem(i, f"{i}.mp4", "the file is empty", 0, None) for i in range(23)]
    lines = describe_problems(problems).splitlines()
    assert len(lines) == 21
    assert lines[0] == "  0.mp4: the file is empty"
    assert lines[-1] == "  and 3 more"
