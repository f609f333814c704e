"""Fits of two ranks under DDP, and what their checkpoints give in one process."""

import pytest
import torch
import torch.nn.functional as F
from small_fit import fit, make_batch, make_module
from two_ranks import run_in_two

import gcvideo

pytestmark = [
    pytest.mark.slow,  # two processes
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers"),
    pytest.mark.filterwarnings("ignore:The dirpath has changed"),
]


@pytest.fixture(scope="module")
def runs(project, tmp_path_factory):
    """The checkpoints of fits in two processes, started once."""
    folder = tmp_path_factory.mktemp("runs")
    run_in_two(project / "tests" / "small_fit.py", folder)
    return folder


def read_weights(path):
    return torch.load(path, weights_only=True)["state_dict"]


@pytest.mark.parametrize(("name", "epoch"), [("plain", 1), ("blocks", 0)])
def test_ranks_validate_in_float32_with_the_statistics_that_the_checkpoint_keeps(runs, name, epoch):
    """The fit of the blocks computes in bf16, and leaves the statistics alone."""
    module = make_module("sgd").eval()
    module.load_state_dict(read_weights(runs / name / f"epoch={epoch}.ckpt"))
    for rank in range(2):
        views = make_batch(100 + rank)["views"]
        with torch.no_grad():
            expected = module.model(views)
            with torch.autocast("cpu", torch.bfloat16):
                rounded = module.model(views)
        found = torch.load(runs / name / f"logits{rank}.pt")
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
        assert (rounded - expected).abs().max() > 1e-4


def test_a_step_of_two_ranks_learns_from_the_mean_over_all_their_clips(runs):
    """Two batches a rank, of four that are asked for; rates of 16 clips, a tenth in epoch 2."""
    model = make_module("sgd").model.eval()
    batches = [make_batch(10 * rank + number) for rank in range(2) for number in range(2)]
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


def test_a_checkpoint_of_two_ranks_resumes_in_one_process_and_is_loaded_for_prediction(
    runs, tmp_path
):
    path = runs / "plain/epoch=0.ckpt"
    fit(make_module("sgd"), tmp_path, "auto", start=path)
    weights, loaded = read_weights(path), read_weights(tmp_path / "loaded.ckpt")
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in weights.items())
    model = gcvideo.load(path).model.state_dict()
    assert all(torch.equal(tensor, weights[f"model.{name}"]) for name, tensor in model.items())
