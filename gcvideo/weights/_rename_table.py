"""Pieces of names in the files of other code bases and what they become, applied in order.

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
    (".branch2.a.", ".branch2.conv_a."),
    (".branch2.b.", ".branch2.conv_b."),
    (".branch2.c.", ".branch2.conv_c."),
    (".branch2.a_bn.", ".branch2.norm_a."),
    (".branch2.b_bn.", ".branch2.norm_b."),
    (".branch2.c_bn.", ".branch2.norm_c."),
    (".conv_theta.", ".block.theta."),
    (".conv_phi.", ".block.phi."),
    (".conv_g.", ".block.g."),
    (".conv_out.", ".block.out."),
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
    ("_branch2a_w", ".branch2.conv_a.weight"),
    ("_branch2b_w", ".branch2.conv_b.weight"),
    ("_branch2c_w", ".branch2.conv_c.weight"),
    ("_branch2a_bn_", ".branch2.norm_a."),
    ("_branch2b_bn_", ".branch2.norm_b."),
    ("_branch2c_bn_", ".branch2.norm_c."),
    ("_theta_w", ".block.theta.weight"),
    ("_theta_b", ".block.theta.bias"),
    ("_phi_w", ".block.phi.weight"),
    ("_phi_b", ".block.phi.bias"),
    ("_g_w", ".block.g.weight"),
    ("_g_b", ".block.g.bias"),
    ("_out_w", ".block.out.weight"),
    ("_out_b", ".block.out.bias"),
    ("_bn_", ".block.norm."),
    ("pred_w", "head.proj.weight"),
    ("pred_b", "head.proj.bias"),
)

MMACTION2: Renames = (
    ("backbone.", ""),
    *_stages(("layer1.", "layer2.", "layer3.", "layer4.")),
    (".conv1.conv.", ".branch2.conv_a."),
    (".conv2.conv.", ".branch2.conv_b."),
    (".conv3.conv.", ".branch2.conv_c."),
    (".conv1.bn.", ".branch2.norm_a."),
    (".conv2.bn.", ".branch2.norm_b."),
    (".conv3.bn.", ".branch2.norm_c."),
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

CONTEXT_BLOCK: Renames = (
    ("conv_mask.", "mask."),
    ("channel_add_conv.0.", "add_transform.reduce."),
    ("channel_add_conv.1.", "add_transform.norm."),
    ("channel_add_conv.3.", "add_transform.expand."),
    ("channel_mul_conv.0.", "mul_transform.reduce."),
    ("channel_mul_conv.1.", "mul_transform.norm."),
    ("channel_mul_conv.3.", "mul_transform.expand."),
    ("conv_attn.", "mask."),
    ("mlp_add.fc1.", "add_transform.reduce."),
    ("mlp_add.norm.", "add_transform.norm."),
    ("mlp_add.fc2.", "add_transform.expand."),
    ("mlp_scale.fc1.", "mul_transform.reduce."),
    ("mlp_scale.norm.", "mul_transform.norm."),
    ("mlp_scale.fc2.", "mul_transform.expand."),
)

TORCHVISION: Renames = (
    ("backbone.", ""),
    *_stages(("layer1.", "layer2.", "layer3.", "layer4.")),
    (".conv1.", ".branch2.conv_a."),
    (".conv2.", ".branch2.conv_b."),
    (".conv3.", ".branch2.conv_c."),
    (".bn1.", ".branch2.norm_a."),
    (".bn2.", ".branch2.norm_b."),
    (".bn3.", ".branch2.norm_c."),
    (".downsample.0.", ".branch1_conv."),
    (".downsample.1.", ".branch1_norm."),
    ("conv1.", "stem.conv."),
    ("bn1.", "stem.norm."),
    ("fc.", "head.proj."),
    (".context_block.", ".block."),
    *CONTEXT_BLOCK,
)
