"""Pieces of names in the files of other code bases and their replacements, applied in order.

Sources: the code that builds or loads the files: PySlowFast and its ``c2_model_loading``, mmaction2 and
mmcv's ``NonLocalNd``, torchvision, GCNet's plugin of mmdetection and timm's ``GlobalContext``.
"""

Renames = tuple[tuple[str, str], ...]


def _stages(names: tuple[str, str, str, str], tail: str = "") -> Renames:
    return tuple((name + tail, f"res{r}.") for r, name in enumerate(names, 2))


PYSLOWFAST: Renames = (
    ("s1.pathway0_stem.bn.", "stem.norm."),
    ("s1.pathway0_stem.", "stem."),
    *_stages(("s2.", "s3.", "s4.", "s5."), "pathway0_res"),
    *_stages(("s2.", "s3.", "s4.", "s5."), "pathway0_nonlocal"),
    (".branch1.", ".branch1_conv."),
    (".branch1_bn.", ".branch1_norm."),
    *((f".branch2.{x}.", f".branch2.conv_{x}.") for x in "abc"),
    *((f".branch2.{x}_bn.", f".branch2.norm_{x}.") for x in "abc"),
    *((f".conv_{part}.", f".block.{part}.") for part in ("theta", "phi", "g", "out")),
    (".bn.", ".block.norm."),
    ("head.projection.", "head.proj."),
)

CAFFE2: Renames = (
    ("_bn_riv", "_bn_running_var"),
    ("_bn_rm", "_bn_running_mean"),
    ("_bn_s", "_bn_weight"),
    ("_bn_b", "_bn_bias"),
    ("res_conv1_bn_", "stem.norm."),
    *_stages(("res2_", "res3_", "res4_", "res5_")),
    *_stages(("nonlocal_conv2_", "nonlocal_conv3_", "nonlocal_conv4_", "nonlocal_conv5_")),
    ("conv1_w", "stem.conv.weight"),
    ("_branch1_w", ".branch1_conv.weight"),
    ("_branch1_bn_", ".branch1_norm."),
    *((f"_branch2{x}_w", f".branch2.conv_{x}.weight") for x in "abc"),
    *((f"_branch2{x}_bn_", f".branch2.norm_{x}.") for x in "abc"),
    *((f"_{part}_w", f".block.{part}.weight") for part in ("theta", "phi", "g", "out")),
    *((f"_{part}_b", f".block.{part}.bias") for part in ("theta", "phi", "g", "out")),
    ("_bn_", ".block.norm."),
    ("pred_w", "head.proj.weight"),
    ("pred_b", "head.proj.bias"),
)

MMACTION2: Renames = (
    ("backbone.", ""),
    *_stages(("layer1.", "layer2.", "layer3.", "layer4.")),
    *((f".conv{i}.conv.", f".branch2.conv_{x}.") for i, x in enumerate("abc", 1)),
    *((f".conv{i}.bn.", f".branch2.norm_{x}.") for i, x in enumerate("abc", 1)),
    (".downsample.conv.", ".branch1_conv."),
    (".downsample.bn.", ".branch1_norm."),
    ("conv1.conv.", "stem.conv."),
    ("conv1.bn.", "stem.norm."),
    (".non_local_block.theta.conv.", ".block.theta."),
    (".non_local_block.phi.0.conv.", ".block.phi."),
    (".non_local_block.phi.conv.", ".block.phi."),
    (".non_local_block.g.0.conv.", ".block.g."),
    (".non_local_block.g.conv.", ".block.g."),
    (".non_local_block.concat_project.conv.", ".block.concat."),
    (".non_local_block.conv_out.conv.", ".block.out."),
    (".non_local_block.conv_out.bn.", ".block.norm."),
    ("cls_head.fc_cls.", "head.proj."),
)

_PARTS = ("reduce", "norm", "expand")
CONTEXT_BLOCK: Renames = (
    ("conv_mask.", "mask."),
    ("conv_attn.", "mask."),
    *(
        (f"{theirs}.{name}.", f"{ours}_transform.{part}.")
        for theirs, ours, names in (
            ("channel_add_conv", "add", "013"),
            ("channel_mul_conv", "mul", "013"),
            ("mlp_add", "add", ("fc1", "norm", "fc2")),
            ("mlp_scale", "mul", ("fc1", "norm", "fc2")),
        )
        for name, part in zip(names, _PARTS, strict=True)
    ),
)

TORCHVISION: Renames = (
    ("backbone.", ""),
    *_stages(("layer1.", "layer2.", "layer3.", "layer4.")),
    *((f".conv{i}.", f".branch2.conv_{x}.") for i, x in enumerate("abc", 1)),
    *((f".bn{i}.", f".branch2.norm_{x}.") for i, x in enumerate("abc", 1)),
    (".downsample.0.", ".branch1_conv."),
    (".downsample.1.", ".branch1_norm."),
    ("conv1.", "stem.conv."),
    ("bn1.", "stem.norm."),
    ("fc.", "head.proj."),
    (".context_block.", ".block."),
    *CONTEXT_BLOCK,
)
