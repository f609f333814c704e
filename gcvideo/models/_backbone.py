"""The parts of pytorchvideo that this package uses; no other module imports it."""

import warnings

with warnings.catch_warnings():
    # On import, fvcore compiles a loss with torch.jit.script; users can do nothing about it.
    warnings.filterwarnings("ignore", message=".torch.jit.script. is")
    from pytorchvideo.models.net import Net as Net
    from pytorchvideo.models.resnet import BottleneckBlock as BottleneckBlock
    from pytorchvideo.models.resnet import ResBlock as ResBlock
    from pytorchvideo.models.resnet import ResStage as ResStage
    from pytorchvideo.models.resnet import create_resnet as create_resnet
    from pytorchvideo.models.stem import ResNetBasicStem as ResNetBasicStem
