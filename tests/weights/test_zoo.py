import json
import re
from functools import cache
from urllib.parse import urlsplit

import pytest
import torch
import torchvision

from gcvideo._construction import construct
from gcvideo.models import inserted_blocks
from gcvideo.nn import NonLocalBlock
from gcvideo.weights import ZOO, WeightsError
from gcvideo.weights._zoo import class_names, published_record

# Exact counts of mmaction2's metafile.yml (0.x); the I3D ones are of the same nets as in 1.x.
PARAMETERS = {
    "slow_8x8_r50_mmaction2": 32_454_096,
    "slow_8x8_r101_mmaction2_0x": 60_359_120,
    "slow_nl_8x8_r50_mmaction2_0x_imagenet": 39_808_464,
    "slow_nl_4x16_r50_mmaction2_0x_imagenet": 39_808_464,
    "i3d_32x2_r50_mmaction2_imagenet": 28_043_472,
    "i3d_nl_32x2_r50_mmaction2_imagenet": 35_397_840,
    "i3d_nl_dot_product_32x2_r50_mmaction2_imagenet": 35_397_840,
    "i3d_nl_gaussian_32x2_r50_mmaction2_imagenet": 31_723_728,
}
# Millions in PyTorchVideo's model_zoo.md and mmaction2's README.md, rounded as there.
MILLIONS = {
    "c2d_8x8_r50_pytorchvideo": "24.33",
    "i3d_8x8_r50_pytorchvideo": "28.04",
    "slow_4x16_r50_pytorchvideo": "32.45",
    "slow_8x8_r50_pytorchvideo": "32.45",
    "slow_4x16_r50_mmaction2": "32.45",
    "slow_8x8_r101_mmaction2": "60.36",
    "slow_4x16_r50_mmaction2_imagenet": "32.45",
    "slow_8x8_r50_mmaction2_imagenet": "32.45",
    "slow_nl_4x16_r50_mmaction2_imagenet": "39.81",
    "slow_nl_8x8_r50_mmaction2_imagenet": "39.81",
    "c2d_nopool_8x8_r50_mmaction2_imagenet": "24.3",
    "c2d_nopool_8x8_r101_mmaction2_imagenet": "43.3",
    "c2d_8x8_r50_mmaction2_imagenet": "24.3",
    "c2d_16x4_r50_mmaction2_imagenet": "24.3",
}
NON_LOCAL = [name for name in ZOO if "_nl_" in name]
IMAGENET = [name for name, record in ZOO.items() if not record.classes]


def net_of(name):
    return build(json.dumps(ZOO[name].net))


@cache  # many records share a net
def build(net):
    with torch.device("meta"):
        return construct(json.loads(net))


def num_parameters(name):
    return sum(parameter.numel() for parameter in net_of(name).parameters())


def attention_blocks(name):
    return [(b.stage, b.index, b.position, b.module) for b in inserted_blocks(net_of(name))]


@pytest.mark.parametrize("name", ZOO)
def test_every_net_is_built_as_its_name_says(name):
    record = ZOO[name]
    net = net_of(name)
    assert record.net["depth"] == (101 if "101_" in name else 50)
    assert bool(inserted_blocks(net)) == (name in NON_LOCAL)
    assert net.blocks[-1].proj.out_features == (400 if record.classes else 1000)
    if record.protocol is not None:
        family = name.partition("_")[0]
        assert record.net["_target_"] == f"gcvideo.models.{family}_resnet"
        assert ("temporal_pool" in record.net) == ("nopool" in name)
        clip = f"{record.protocol['num_frames']}x{record.protocol['sampling_rate']}"
        assert clip in name.split("_")


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_net_has_exactly_the_published_number_of_parameters(name):
    assert num_parameters(name) == PARAMETERS[name]


@pytest.mark.parametrize("name", MILLIONS)
def test_a_net_has_the_published_millions_of_parameters(name):
    published_millions = MILLIONS[name]
    digits = len(published_millions.partition(".")[2])
    assert f"{num_parameters(name) / 1e6:.{digits}f}" == published_millions


@pytest.mark.parametrize(
    "name", ["i3d_nl_8x8_r50_pyslowfast", "slow_nl_8x8_r50_mmaction2_imagenet"]
)
def test_non_local_blocks_stand_where_the_configs_put_them(name):
    first = {"i3d": 1, "slow": 0}[name.partition("_")[0]]
    places = [(stage, index, position) for stage, index, position, _ in attention_blocks(name)]
    res3, res4 = {1: ([1, 3], [1, 3, 5]), 0: ([0, 2], [0, 2, 4])}[first]
    expected = [("res3", i, "after_relu") for i in res3] + [("res4", i, "after_relu") for i in res4]
    assert places == expected


@pytest.mark.parametrize("name", NON_LOCAL)
def test_non_local_blocks_compute_what_their_sources_do(name):
    is_mmcv = ZOO[name].layout == "mmaction2"
    kind = next((k for k in ("dot_product", "gaussian") if k in name), "embedded_gaussian")
    for _, _, _, block in attention_blocks(name):
        assert isinstance(block, NonLocalBlock)
        assert block.kind == kind
        assert block.sub_sample == ("after" if is_mmcv else "before")
        assert (block.out.bias is None) == is_mmcv
        # use_scale is set in mmaction2's SlowOnly alone.
        scaled = not name.startswith("i3d") or not is_mmcv
        assert block.scale == ((block.in_channels // 2) ** -0.5 if scaled else 1.0)


def test_mmaction2_i3d_halves_time_three_times_and_the_8x8_nets_at_most_once():
    def frames_after(name, num_frames):
        net = construct({**ZOO[name].net, "width": 1})
        x = torch.zeros(1, 3, num_frames, 32, 32)
        for block in net.blocks[:-1]:
            x = block(x)
        return x.shape[2]

    assert frames_after("i3d_32x2_r50_mmaction2_imagenet", 32) == 4
    assert frames_after("i3d_8x8_r50_pyslowfast", 8) == 4
    assert frames_after("c2d_nopool_8x8_r50_pyslowfast", 8) == 8
    assert frames_after("slow_8x8_r50_pytorchvideo", 8) == 8


def test_the_stem_pool_is_padded_but_in_video_nonlocal_net_and_in_c2d_of_mmaction2():
    unpadded = {name for name in ZOO if net_of(name).blocks[0].pool.padding[1] == 0}
    assert unpadded == {
        *(name for name in ZOO if "video_nonlocal" in name),
        "c2d_8x8_r50_mmaction2_imagenet",
        "c2d_16x4_r50_mmaction2_imagenet",
    }


@pytest.mark.parametrize("depth", [50, 101])
@pytest.mark.parametrize("version", [1, 2])
def test_torchvision_says_the_same_of_its_weights(depth, version):
    record = published_record(f"resnet{depth}_torchvision_v{version}")
    weights = torchvision.models.get_weight(f"ResNet{depth}_Weights.IMAGENET1K_V{version}")
    assert record.url == weights.url
    assert record.file == f"resnet{depth}-{record.sha256}.pth"
    accuracy = weights.meta["_metrics"]["ImageNet-1K"]
    assert (record.top1, record.top5) == (accuracy["acc@1"], accuracy["acc@5"])


def test_names_are_sorted_and_addresses_and_files_are_different():
    assert list(ZOO) == sorted(ZOO)
    assert all(record.name == name for name, record in ZOO.items())
    for attribute in ("url", "file"):
        assert len({getattr(record, attribute) for record in ZOO.values()}) == len(ZOO) == 41


@pytest.mark.parametrize("name", ZOO)
def test_addresses_are_https_and_files_suit_the_layout(name):
    record = ZOO[name]
    parts = urlsplit(record.url)
    hosts = {"dl.fbaipublicfiles.com", "download.openmmlab.com", "download.pytorch.org"}
    assert parts.scheme == "https"
    assert parts.netloc in hosts
    assert not parts.query
    assert not parts.fragment
    suffix = {"caffe2": "pkl", "mmaction2": "pth", "torchvision": "pth"}.get(record.layout, "pyth")
    assert re.fullmatch(rf"[\w-]+\.{suffix}", record.file)
    assert parts.path.endswith(f"/{record.file}")


@pytest.mark.parametrize("name", ZOO)
def test_digits_of_the_digest_are_those_of_the_file_name(name):
    record = ZOO[name]
    match = re.search(r"-([0-9a-f]{8})\.pth$", record.file)
    clash = "df42dc84"
    if match is None or match[1] == clash:
        assert record.sha256 is None
    else:
        assert record.sha256 == match[1]


def test_the_digits_that_two_files_share_are_given_to_neither():
    sharing = [name for name, record in ZOO.items() if "df42dc84" in record.file]
    assert sharing == ["slow_8x8_r50_mmaction2_imagenet", "slow_nl_8x8_r50_mmaction2_imagenet"]
    digits = [record.sha256 for record in ZOO.values() if record.sha256]
    assert len(set(digits)) == len(digits)


def test_accuracies_are_percentages_and_two_documents_that_disagree_are_both_named():
    for record in ZOO.values():
        assert record.top1 is not None
        assert record.top5 is not None
        assert 60 < record.top1 < record.top5 < 100
    record = published_record("slow_nl_8x8_r50_mmaction2_imagenet")
    assert (record.top1, record.top5) == (76.65, 92.47)
    assert record.accuracy_source.endswith("metafile.yml says 76.35 and 92.18")


def test_non_commercial_weights_are_marked():
    restricted = [name for name, record in ZOO.items() if "NC" in record.licence]
    assert restricted == [name for name in ZOO if "video_nonlocal" in name]
    assert {ZOO[name].licence for name in restricted} == {"CC-BY-NC-4.0"}


def test_descriptions_are_plain_data():
    for record in ZOO.values():
        plain = [record.net, record.protocol]
        assert json.loads(json.dumps(plain)) == plain


def test_an_unknown_name_is_answered_with_the_nearest_ones():
    with pytest.raises(WeightsError) as error:
        published_record("slow_8x8_r50_pytorchvid")
    message = str(error.value)
    assert "no published weights are called 'slow_8x8_r50_pytorchvid'" in message
    assert "nearest names are slow_8x8_r50_pytorchvideo, " in message
    assert "list(gcvideo.weights.ZOO)" in message


@pytest.mark.parametrize("name", IMAGENET)
def test_image_nets_are_to_be_inflated_and_are_the_2d_resnet(name):
    record = ZOO[name]
    assert record.inflated
    assert record.protocol is None
    weights = torchvision.models.get_weight(f"ResNet{record.net['depth']}_Weights.IMAGENET1K_V1")
    assert num_parameters(name) == weights.meta["num_params"]


def test_kinetics400_has_400_different_names_in_alphabetical_order():
    names = class_names("kinetics400")
    assert len(set(names)) == len(names) == 400
    assert names == tuple(sorted(names))
    assert (names[0], names[-1]) == ("abseiling", "zumba")
    assert all(name and name == name.strip(' "\t') for name in names)
    # The labels of three classes in process_data/kinetics/classids.json of video-nonlocal-net.
    labels = {"sharpening knives": 290, "eating ice cream": 115, "cutting nails": 81}
    assert {name: names.index(name) for name in labels} == labels


def test_an_unknown_list_is_refused_by_name():
    with pytest.raises(ValueError, match="called 'kinetics999'; choose one of kinetics400"):
        class_names("kinetics999")


@pytest.mark.parametrize("name", ZOO)
def test_the_document_lists_every_published_file_as_its_record_says(project, name):
    record = ZOO[name]
    rows = (project / "docs" / "weights.md").read_text(encoding="utf-8").splitlines()
    protocol = record.protocol
    cells = (
        f"`{name}`",
        f"{record.top1:.2f} / {record.top5:.2f}",
        "ImageNet, inflated" if protocol is None else f"{protocol['name']}, {protocol['head']}",
        record.layout,
        record.licence,
        "yes" if record.sha256 else "no",
    )
    assert f"| {' | '.join(cells)} |" in rows
