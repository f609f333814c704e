"""Nets and checkpoints with blocks whose maps are far from uniform."""

from dataclasses import replace

from small_protocol import DESCRIPTION
from torch import nn

from gcvideo._construction import construct
from gcvideo.inference import Checkpoint, write_checkpoint
from gcvideo.models import inserted_blocks


def draw_blocks(net, std=0.3):
    for inserted in inserted_blocks(net):
        for parameter in inserted.module.parameters():
            nn.init.normal_(parameter, std=std)
    return net


def write_block_checkpoint(path, block, *, classes, size, data=None, num_frames=4, **places):
    """A small net with a block of ``gcvideo.nn`` in some places; None: a net without blocks."""
    placement = {"_target_": "gcvideo.models.Placement", "position": "after_relu"}
    if block is not None:
        settings = block if isinstance(block, dict) else {"_target_": f"gcvideo.nn.{block}"}
        placement |= {"block": {**settings, "_partial_": True}, **places}
    description = {
        "_target_": "gcvideo.models.slow_resnet",
        "num_classes": len(classes),
        "width": 4,
        "placement": placement,
    }
    sizes = ("short_side", "crop_size", "val_crop_size", "train_crop_size")
    sampling = {"_target_": "gcvideo.data.SlowFastSampling"}
    protocol = DESCRIPTION | dict.fromkeys(sizes, size) | {"sampling": sampling, "num_clips": 1}
    made = Checkpoint.of_net(
        draw_blocks(construct(description)),
        name="x",
        description=description,
        classes=classes,
        protocol=protocol | {"num_frames": num_frames},
    )
    config = made.config if data is None else {**made.config, "data": data}
    write_checkpoint(path, replace(made, config=config))
    return path
