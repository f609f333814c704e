import pytest
import torch
import torch.nn.functional as F
from sharding_ranks import Data, fit, make_module
from two_ranks import run_in_two

import gcvideo

PAIRS = [("ddp", "fsdp"), ("fsdp", "ddp")]

pytestmark = [
    pytest.mark.slow,  # two starts of two processes
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers"),
    pytest.mark.filterwarnings("ignore:The dirpath has changed"),
]


@pytest.fixture(scope="module")
def runs(project, tmp_path_factory):
    """The checkpoints of fits in two processes, started once."""
    folder = tmp_path_factory.mktemp("runs")
    run_in_two(project / "tests" / "sharding_ranks.py", folder)
    return folder


def read(path):
    """Weights and optimizer state by name."""
    content = torch.load(path, weights_only=True)
    (optimizer,) = content["optimizer_states"]
    values = {
        f"{index} {name}": value
        for index, state in optimizer["state"].items()
        for name, value in state.items()
    }
    assert values
    groups = optimizer["param_groups"]
    return content["state_dict"] | values, groups


def read_weights(path):
    return torch.load(path, weights_only=True)["state_dict"]


def assert_same(actual, expected, tolerance=0.0):
    (tensors, groups), (others, other_groups) = read(actual), read(expected)
    assert list(tensors) == list(others)
    assert groups == other_groups
    for name, tensor in tensors.items():
        assert type(tensor) is type(others[name]) is torch.Tensor
        torch.testing.assert_close(
            tensor, others[name], rtol=tolerance, atol=tolerance, msg=f"{name} differs"
        )


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_sharded_training_equals_ddp(runs, optimizer):
    """AdamW: with recomputation, batch norm over ranks and accumulation; SGD: with clipping."""
    for epoch in (0, 1):
        names = [f"{optimizer} {strategy}/epoch={epoch}.ckpt" for strategy in ("fsdp", "ddp")]
        assert_same(runs / names[0], runs / names[1], 1e-5)
    start, end = (
        read(runs / f"{optimizer} fsdp/{name}.ckpt")[0] for name in ("epoch=0", "epoch=1")
    )
    assert not torch.equal(
        start["model.net.blocks.5.proj.weight"], end["model.net.blocks.5.proj.weight"]
    )


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize(("strategy", "other"), PAIRS)
def test_a_checkpoint_of_one_resumes_in_the_other(runs, strategy, other, optimizer):
    name = f"{optimizer} {strategy}"
    assert_same(runs / f"{name} in {other}/loaded.ckpt", runs / f"{name}/epoch=0.ckpt")
    assert_same(runs / f"{name} in {other}/epoch=1.ckpt", runs / f"{name}/epoch=1.ckpt", 1e-5)


def test_frozen_weights_and_bf16_equal_ddp_and_weights_stay_float32(runs):
    sharded = runs / "blocks fsdp/epoch=0.ckpt"
    assert_same(sharded, runs / "blocks ddp/epoch=0.ckpt", 1e-5)
    dtypes = {tensor.dtype for tensor in read(sharded)[0].values()}
    assert dtypes == {torch.float32, torch.int64}


@pytest.mark.parametrize("strategy", ["fsdp", "ddp"])
def test_ranks_validate_with_the_statistics_that_the_checkpoint_keeps(runs, strategy):
    folder = runs / f"sgd {strategy}"
    module = make_module("sgd").eval()
    module.load_state_dict(read_weights(folder / "epoch=1.ckpt"))
    for rank in range(2):
        with torch.no_grad():
            expected = module.model(Data(rank).batch(100 + rank)["views"])
        found = torch.load(folder / f"logits{rank}.pt")
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_a_step_of_two_ranks_learns_from_the_mean_over_all_their_clips(runs):
    """Two batches a rank, of four that are asked for; rates of 16 clips, a tenth in epoch 2."""
    model = make_module("sgd").model.eval()
    batches = [Data(rank).batch(10 * rank + number) for rank in range(2) for number in range(2)]
    views, labels = (torch.cat([batch[name] for batch in batches]) for name in ("views", "labels"))
    optimizer = torch.optim.SGD(model.parameters())
    for rate in (0.01 * 16 / 8, 0.001 * 16 / 8):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        F.cross_entropy(model(views).flatten(0, 1), labels.flatten()).backward()
        optimizer.step()
    learnt = read_weights(runs / "accumulated/epoch=1.ckpt")
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(learnt[f"model.{name}"], tensor, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("strategy", ["fsdp", "ddp"])
def test_training_in_bf16_is_validated_in_float32(runs, strategy):
    folder = runs / f"blocks {strategy}"
    module = make_module("sgd").eval()
    module.load_state_dict(read_weights(folder / "epoch=0.ckpt"))
    for rank in range(2):
        views = Data(rank).batch(100 + rank)["views"]
        with torch.no_grad():
            expected = module.model(views)
            with torch.autocast("cpu", torch.bfloat16):
                rounded = module.model(views)
        found = torch.load(folder / f"logits{rank}.pt")
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
        assert (rounded - expected).abs().max() > 1e-4


def test_a_sharded_checkpoint_resumes_in_one_process_and_is_loaded_for_prediction(runs, tmp_path):
    path = runs / "sgd fsdp/epoch=0.ckpt"
    fit(make_module("sgd"), tmp_path, "auto", start=path)
    assert_same(tmp_path / "loaded.ckpt", path)
    weights = gcvideo.load(path).model.state_dict()
    saved = read(path)[0]
    assert all(torch.equal(tensor, saved[f"model.{name}"]) for name, tensor in weights.items())


def test_averaged_weights_are_refused(runs):
    for rank in range(2):
        message = (runs / f"ema{rank}.txt").read_text()
        assert "EMAWeightAveraging averages whole weights, but trainer=fsdp shares" in message
        assert "choose trainer=ddp, or ema=null" in message
