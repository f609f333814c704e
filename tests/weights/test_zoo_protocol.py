import pytest
from omegaconf import OmegaConf

from gcvideo._construction import construct
from gcvideo.data import (
    EvaluationProtocol,
    MMActionCrops,
    MMActionDenseSampling,
    MMActionResizing,
    MMActionSampling,
    NonLocalCrops,
    NonLocalResizing,
    NonLocalSampling,
    PyTorchVideoSampling,
    SlowFastCrops,
    SlowFastResizing,
    SlowFastSampling,
)
from gcvideo.weights._zoo import ZOO, class_names

IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
GREY_MEAN, GREY_STD = [0.45] * 3, [0.225] * 3
CLIP = {"num_frames": 8, "sampling_rate": 8}
KINETICS = [name for name, record in ZOO.items() if record.classes]


def mmaction(num_frames, sampling_rate, name="mmaction", sampling=None, **arguments):
    return EvaluationProtocol(
        name=name,
        sampling=sampling or MMActionSampling(),
        resizing=MMActionResizing(),
        crops=MMActionCrops(),
        num_frames=num_frames,
        sampling_rate=sampling_rate,
        head="adaptive",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        **arguments,
    )


def eight_by_eight(name, sampling, **changes):
    given = {"resizing": SlowFastResizing(), "crops": SlowFastCrops()}
    return EvaluationProtocol(
        **(given | changes),
        name=name,
        sampling=sampling,
        num_frames=8,
        sampling_rate=8,
        val_crop_size=256,
        head="fcn_prob",
        mean=GREY_MEAN,
        std=GREY_STD,
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("slow_8x8_r50_pytorchvideo", eight_by_eight("pytorchvideo", PyTorchVideoSampling())),
        (
            "slow_8x8_r50_pyslowfast",
            eight_by_eight("slowfast_pyav", SlowFastSampling(reader="pyav")),
        ),
        (
            "i3d_nl_8x8_r50_pyslowfast",
            eight_by_eight("slowfast_pyav", SlowFastSampling(reader="pyav")),
        ),
        (
            "i3d_nl_8x8_r50_video_nonlocal_imagenet",
            eight_by_eight(
                "nonlocal",
                NonLocalSampling(),
                resizing=NonLocalResizing(),
                crops=NonLocalCrops(),
            ),
        ),
        (
            "i3d_dense_32x2_r50_mmaction2_imagenet",
            mmaction(32, 2, "mmaction_dense", MMActionDenseSampling()),
        ),
        ("slow_nl_4x16_r50_mmaction2_0x_imagenet", mmaction(4, 16)),
        ("slow_8x8_r101_mmaction2", mmaction(8, 8)),
        ("i3d_nl_gaussian_32x2_r50_mmaction2_imagenet", mmaction(32, 2)),
        ("c2d_16x4_r50_mmaction2_imagenet", mmaction(16, 4, short_side=224, crop_size=224)),
        (
            "c2d_nopool_8x8_r50_mmaction2_imagenet",
            mmaction(8, 8, short_side=224, crop_size=224, average="logit"),
        ),
    ],
)
def test_a_protocol_is_that_of_the_published_accuracy(name, expected):
    assert construct(ZOO[name].protocol) == expected


@pytest.mark.parametrize("name", KINETICS)
def test_every_protocol_fits_its_record(name):
    record = ZOO[name]
    protocol = construct(record.protocol)
    assert record.views == f"{protocol.num_clips} x {protocol.num_crops}"
    # PyTorchVideo's nets average logits, but were scored by PySlowFast, which averages softmax.
    assert record.net["head"] == protocol.head or record.layout == "pytorchvideo"
    assert record.classes == "kinetics400"
    assert len(class_names(record.classes)) == record.net["num_classes"]


@pytest.mark.parametrize("name", sorted({ZOO[name].protocol["name"] for name in KINETICS}))
def test_a_protocol_of_the_command_line_is_that_of_the_weights_of_its_name(project, name):
    written = OmegaConf.load(project / "conf" / "protocol" / f"{name}.yaml")
    base = next((b for b in written.get("defaults", []) if b != "_self_"), None)
    if base:
        written = OmegaConf.merge(OmegaConf.load(project / f"conf/protocol/{base}.yaml"), written)
    keys = ("name", "sampling", "resizing", "crops", "mean", "std")
    node = {key: OmegaConf.to_container(written)[key] for key in keys}
    chosen = construct({"_target_": "gcvideo.data.EvaluationProtocol", **node, **CLIP})
    for record in (ZOO[name_] for name_ in KINETICS):
        if record.protocol["name"] == name:
            scored = construct(record.protocol)
            for key in keys:
                assert getattr(chosen, key) == getattr(scored, key), (record.name, key)


def test_a_checkpoint_of_before_keeps_the_meaning_that_it_had():
    """What was written before protocols said how sides are rounded and how PySlowFast reads."""
    old = {
        "_target_": "gcvideo.data.EvaluationProtocol",
        "name": "slowfast",
        "sampling": {"_target_": "gcvideo.data.SlowFastSampling"},
        "crops": {"_target_": "gcvideo.data.SlowFastCrops"},
        **CLIP,
    }
    protocol = construct(old)
    assert protocol.sampling.test(300, 30.0, protocol.spec, 10)[1, [0, -1]].tolist() == [23, 86]
    assert protocol.frame_size(288, 352) == (256, 312)
