"""Train or fine-tune a net on class folders, or on the demo set, and save it for `gcvideo.load`.

python finetune.py --videos FOLDER --weights slow_8x8_r50_pytorchvideo --width 64 --crop-size 224
"""

import argparse

import lightning
from torchvision.transforms.v2 import RandomCrop

import gcvideo
from gcvideo import data
from gcvideo.models import ClipClassifier

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("--videos", help="a folder with a folder for each class; without: the demo set")
parser.add_argument("--weights", help="a published name, a file or hf://...; without: random")
parser.add_argument("--net", choices=["slow", "i3d", "c2d"], default="slow")
parser.add_argument("--width", type=int, default=16, help="of published nets: 64")
parser.add_argument("--num-frames", type=int, default=8)
parser.add_argument("--crop-size", type=int, default=64)
parser.add_argument("--epochs", type=int, default=15)
parser.add_argument("--output", default="finetuned", help="the folder to save the net in")
args = parser.parse_args()

videos = data.annotated_videos(root=args.videos) if args.videos else data.demo_videos()
size = args.crop_size
views = {"num_frames": args.num_frames, "sampling_rate": 2, "num_clips": 2, "num_crops": 1}
views |= {"short_side": size, "crop_size": size, "val_crop_size": size, "train_crop_size": size}
protocol = data.EvaluationProtocol(name="mine", sampling=data.SlowFastSampling(), **views)
resize = data.ShortSideResize(size, size * 5 // 4, resizing=protocol.resizing)
# No flips: left and right are two classes of the demo set.
transform = data.TrainTransform([resize, RandomCrop(size)], flip_prob=0)
module = gcvideo.VideoDataModule(videos, protocol=protocol, transform=transform, batch_size=4)

shape = {"num_classes": len(videos.classes), "width": args.width}
net = getattr(gcvideo, f"{args.net}_resnet")(**shape, weights=args.weights)
model = ClipClassifier(net, mean=protocol.mean, std=protocol.std)
learner = gcvideo.VideoClassifier(model, classes=videos.classes, lr=0.02, base_batch_size=4)
trainer = lightning.Trainer(max_epochs=args.epochs, logger=False, enable_checkpointing=False)
trainer.fit(learner, module)
print(f"validation top-1 {trainer.callback_metrics['val/top1']:.3f}")

# What a reader needs to build the same net and to cut the same views.
rule = {"_target_": "gcvideo.data.SlowFastSampling"}
config = {
    "model": {"name": args.net, "net": {"_target_": f"gcvideo.models.{args.net}_resnet", **shape}},
    "protocol": {
        "_target_": "gcvideo.data.EvaluationProtocol",
        "name": "mine",
        "sampling": rule,
        **views,
    },
}
trained = gcvideo.TrainedClassifier(
    model.eval(), classes=videos.classes, protocol=protocol, config=config
)
print(f"saved in {trained.save_pretrained(args.output)}")
