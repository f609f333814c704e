import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gcvideo.command._device import choose_device
from gcvideo.command._shard import Shard, find_parts, find_shard


@given(num_inputs=st.integers(0, 50), count=st.integers(1, 9))
def test_each_input_is_in_one_part_and_parts_differ_by_one_at_most(num_inputs, count):
    parts = [Shard(index, count).of(num_inputs) for index in range(count)]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(num_inputs))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["4/4", "1", "-1/4", "a/b", "1/0", "1/2/3", ""])
def test_other_texts_are_no_parts(text):
    with pytest.raises(ValueError, match=f"shard is '{text}'; give the number of this part"):
        find_shard(text)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        ({"TORCHELASTIC_RUN_ID": "a", "RANK": "2", "WORLD_SIZE": "3"}, Shard(2, 3)),
        ({"TORCHELASTIC_RUN_ID": "a", "RANK": "0", "WORLD_SIZE": "1"}, None),
        ({"SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "3"}, None),
    ],
)
def test_torchrun_tells_the_part_and_an_array_does_not(monkeypatch, variables, expected):
    for name in ("TORCHELASTIC_RUN_ID", "RANK", "WORLD_SIZE", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert find_shard(None) == expected
    assert find_shard("1/2") == Shard(1, 2)


def test_parts_are_found_by_their_names(tmp_path):
    output = tmp_path / "a[1].b.csv"
    assert find_parts(output, ".json") == {}
    for shard in (Shard(1, 2), Shard(0, 2)):
        shard.path(output).with_name(f"{shard.path(output).name}.json").touch()
    (tmp_path / "a1.b.0-of-3.csv.json").touch()
    assert find_parts(output, ".json") == {s: s.path(output) for s in (Shard(0, 2), Shard(1, 2))}
    (tmp_path / "a[1].b.2-of-12.csv.json").touch()
    with pytest.raises(ValueError, match="has parts out of 2 and out of 12; delete those"):
        find_parts(output, ".json")
    for name in ("a[1].b.0-of-2.csv.json", "a[1].b.1-of-2.csv.json"):
        (tmp_path / name).unlink()
    with pytest.raises(
        ValueError, match=r"11 of the 12 parts .* with shard=0/12, 1/12, 3/12, .*\.\.\."
    ):
        find_parts(output, ".json")


def test_processes_of_a_machine_share_its_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert choose_device(None) == torch.device("cuda")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "a")
    for name, value in (("RANK", "7"), ("WORLD_SIZE", "8"), ("LOCAL_RANK", "3")):
        monkeypatch.setenv(name, value)
    assert choose_device(None) == torch.device("cuda:1")
    assert choose_device("cpu") == torch.device("cpu")
