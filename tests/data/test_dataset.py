import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from gcvideo.data import (
    EpochSampler,
    EvaluationProtocol,
    EvaluationVideos,
    ExactSampler,
    MMActionSampling,
    TrainingVideos,
    TrainTransform,
    VideoDataModule,
    VideoSplits,
    annotated_videos,
    read_annotations,
    read_frames,
)


def make_protocol(**changes):
    given = {
        "name": "test",
        "sampling": MMActionSampling(),
        "num_frames": 4,
        "sampling_rate": 2,
        "num_clips": 2,
        "num_crops": 1,
        "short_side": 48,
        "crop_size": 48,
        "val_crop_size": 32,
        "train_crop_size": 32,
    }
    return EvaluationProtocol(**(given | changes))


def make_module(root, **changes):
    given = {
        "protocol": make_protocol(),
        "transform": TrainTransform([v2.RandomCrop(32)]),
        "batch_size": 2,
        "num_workers": 0,
    }
    return VideoDataModule(annotated_videos(root=str(root)), **(given | changes))


def test_training_items_are_a_pure_function_of_seed_epoch_video_and_view(video_folder):
    annotations = read_annotations(video_folder, root=video_folder)

    def item(seed, epoch, video, clips_per_video=2):
        return TrainingVideos(
            annotations,
            protocol=make_protocol(),
            transform=TrainTransform([v2.RandomCrop(32)]),
            clips_per_video=clips_per_video,
            seed=seed,
        )[epoch, video]["views"]

    assert torch.equal(item(0, 3, 1), item(0, 3, 1))
    assert torch.equal(item(0, 3, 1)[0], item(0, 3, 1, clips_per_video=1)[0])
    for other in ((1, 3, 1), (0, 4, 1)):
        assert not torch.equal(item(0, 3, 1), item(*other))


def test_evaluation_views_show_the_frames_that_the_sampling_names(video_folder):
    annotations = read_annotations(video_folder, root=video_folder)
    protocol = make_protocol()
    item = EvaluationVideos(annotations, protocol=protocol)[2]
    clips = protocol.sampling.test(20, 30.0, protocol.spec, 2)
    assert item["labels"].tolist() == [0, 0]
    for view, indices in zip(item["views"], clips, strict=True):
        frames = read_frames(annotations.path(2), indices)
        assert np.array_equal(view.numpy(), frames[:, :, 8:56].transpose(3, 0, 1, 2))


def test_a_video_shorter_than_the_clip_repeats_frames(video_folder):
    annotations = read_annotations(video_folder, root=video_folder)
    protocol = make_protocol(num_frames=16, sampling_rate=8)
    assert EvaluationVideos(annotations, protocol=protocol)[0]["views"].shape[2] == 16
    training = TrainingVideos(annotations, protocol=protocol, transform=TrainTransform([]))
    assert training[0, 0]["views"].shape[2] == 16


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_do_not_depend_on_the_number_of_workers(video_folder, num_workers):
    def batches(workers):
        loader = make_module(video_folder, num_workers=workers, seed=5).train_dataloader()
        loader.sampler.set_epoch(2)
        return list(loader)

    for ours, expected in zip(batches(num_workers), batches(0), strict=True):
        assert torch.equal(ours["views"], expected["views"])
        assert ours["video"].tolist() == expected["video"].tolist()


def test_the_epoch_sampler_shuffles_by_seed_and_epoch_and_divides_over_ranks():
    def videos(epoch, rank=0, world_size=1, seed=0):
        sampler = EpochSampler(7, seed=seed, rank=rank, world_size=world_size)
        sampler.set_epoch(epoch)
        keys = list(sampler)
        assert len(keys) == len(sampler)
        assert {key[0] for key in keys} == {epoch}
        return [key[1] for key in keys]

    assert sorted(videos(0)) == list(range(7))
    assert videos(0) == videos(0)
    assert videos(0) != videos(1)
    assert videos(0) != videos(0, seed=1)
    shares = [videos(4, rank, 2) for rank in (0, 1)]
    assert [len(share) for share in shares] == [3, 3]
    assert len({*shares[0], *shares[1]}) == 6


@pytest.mark.parametrize("num_videos", [7, 8])
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_the_exact_sampler_covers_every_video_once(num_videos, world_size):
    shares = [ExactSampler(num_videos, rank=r, world_size=world_size) for r in range(world_size)]
    assert sorted(video for share in shares for video in share) == list(range(num_videos))
    assert sum(len(share) for share in shares) == num_videos


def test_more_ranks_than_videos_are_refused():
    with pytest.raises(ValueError, match="2 training videos for 3 processes; use fewer devices"):
        EpochSampler(2, world_size=3)


def test_validation_takes_one_view_and_the_test_all(video_folder):
    module = make_module(video_folder)
    assert next(iter(module.val_dataloader()))["views"].shape == (2, 1, 3, 4, 32, 32)
    assert next(iter(module.test_dataloader()))["views"].shape == (1, 2, 3, 4, 48, 48)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"batch_size": 50}, "batch_size is 50 but there are only 10 training videos"),
        ({"clips_per_video": 0}, "clips_per_video is 0; it must be at least 1"),
        ({"transform": None}, "training needs a transform"),
    ],
)
def test_loaders_that_cannot_work_are_refused(video_folder, changes, message):
    with pytest.raises(ValueError, match=message):
        make_module(video_folder, **changes).train_dataloader()


def test_a_folder_without_a_val_list_is_divided_by_class(video_folder):
    splits = annotated_videos(root=str(video_folder), val_fraction=0.5)
    assert splits.classes == ("dark", "light")
    assert sorted(splits.val.labels.tolist()) == [0, 0, 0, 1, 1, 1]
    assert not {*splits.train.paths} & {*splits.val.paths}
    assert splits.test is splits.val


def test_a_test_list_alone_leaves_nothing_to_train_on(video_folder):
    splits = annotated_videos(root=str(video_folder), test=str(video_folder))
    assert (len(splits.train), len(splits.test)) == (0, 12)


def test_folders_named_train_and_val_are_found(video_folder, tmp_path):
    for name in ("train", "val"):
        (tmp_path / name).symlink_to(video_folder)
    splits = annotated_videos(root=str(tmp_path))
    assert (len(splits.train), len(splits.val)) == (12, 12)


def test_flip_pairs_give_the_labels_of_mirrored_videos(video_folder):
    splits = annotated_videos(root=str(video_folder), flip_pairs=[["dark", "light"]])
    assert splits.swapped_labels == {0: 1, 1: 0}
    with pytest.raises(ValueError, match="flip_pairs names 'lift', which is no class"):
        annotated_videos(root=str(video_folder), flip_pairs=[["dark", "lift"]])


def test_a_missing_root_is_named():
    with pytest.raises(FileNotFoundError, match=r"data\.root is '/no/such', which is no folder"):
        annotated_videos(root="/no/such")


def test_splits_with_other_classes_are_refused(video_folder):
    train = read_annotations(video_folder, root=video_folder)
    other = read_annotations(video_folder, root=video_folder, classes=["dark", "light", "dusk"])
    with pytest.raises(ValueError, match=r"the val split has the classes \[dark, light, dusk\]"):
        VideoSplits(train, other, train)
