import pytest
import torch
from small_fit import fit, make_module

from gcvideo.training import BestCheckpoint

pytestmark = [
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers"),
    pytest.mark.filterwarnings("ignore:The dirpath has changed"),
]


def test_batches_behind_the_last_validation_of_an_epoch_are_refused(tmp_path):
    best = BestCheckpoint(str(tmp_path / "best"))
    between = {"val_check_interval": 3, "check_val_every_n_epoch": None}
    with pytest.raises(
        ValueError, match=r"val_check_interval is 3 with 2 batches in an epoch, .* leave it at 1\.0"
    ):
        fit(make_module("sgd"), tmp_path, "auto", callbacks=[best], **between)


def test_an_epoch_that_is_validated_twice_is_saved_as_its_end(tmp_path):
    best = BestCheckpoint(str(tmp_path / "best"))
    fit(make_module("sgd"), tmp_path, "auto", epochs=1, callbacks=[best], val_check_interval=0.5)
    saved, end = (
        torch.load(tmp_path / name, weights_only=True)
        for name in ("best/best.ckpt", "epoch=0.ckpt")
    )
    assert saved["global_step"] == end["global_step"] == 2
    assert all(torch.equal(saved["state_dict"][n], t) for n, t in end["state_dict"].items())
