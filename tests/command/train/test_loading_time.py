import pytest
from small_data import make_module
from small_protocol import make_protocol

from gcvideo.command.train import _loading_time
from gcvideo.command.train._loading_time import LoadingTime, time_loading
from gcvideo.data import EvenSampling, VideoReader
from gcvideo.data.loading import _dataset, _frame_cache


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by one second for each file that is opened."""
    opened = []

    class Reader(VideoReader):
        def __init__(self, path, **options):
            opened.append(path)
            super().__init__(path, **options)

    monkeypatch.setattr(_dataset, "VideoReader", Reader)
    monkeypatch.setattr(_frame_cache, "VideoReader", Reader)
    monkeypatch.setattr(_loading_time.time, "perf_counter", lambda: float(len(opened)))
    return opened


def whole(folder, **options):
    return make_module(folder, protocol=make_protocol(sampling=EvenSampling()), **options)


def test_without_a_cache_each_epoch_reads_the_files(video_folder, clock):
    assert time_loading(whole(video_folder), 100) == LoadingTime(1.0, kept_bytes=0)
    assert len(clock) == 10  # the first of them warms up


def test_frames_in_memory_are_read_once_in_all_epochs_and_their_size_is_known(video_folder, clock):
    data = whole(video_folder, frame_cache_gb=0.1)
    found = time_loading(data, 100)
    assert found.seconds == pytest.approx(1 / 100)
    assert data._cache.num_bytes == 0  # a measurement leaves nothing behind
    for loader in (data.train_dataloader(), data.val_dataloader()):
        list(loader)
    assert found.kept_bytes == data._cache.num_bytes > 0


def test_a_cache_for_half_of_the_videos_saves_half_of_the_reading(video_folder, clock):
    everything = time_loading(whole(video_folder, frame_cache_gb=0.1), 100).kept_bytes
    half = whole(video_folder, frame_cache_gb=everything / 2 / 1e9)
    found = time_loading(half, 100)
    assert found.seconds == pytest.approx(1 - 0.5 * 99 / 100)
    assert found.kept_bytes == everything // 2


def test_frames_at_random_places_fill_the_cache(video_folder):
    data = make_module(video_folder, frame_cache_gb=0.002, protocol=make_protocol(num_frames=2))
    assert time_loading(data, 100).kept_bytes == 2_000_000
