"""How much a trained net knows of other classes: a linear layer on its features, which stay as they are.

python linear_probe.py runs/RUN --videos FOLDER
"""

import argparse

import torch

import gcvideo
from gcvideo import data

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("checkpoint", help="a file, run folder, published name or hf://...")
parser.add_argument("--videos", help="a folder with a folder for each class; without: the demo set")
parser.add_argument("--decay", type=float, default=1e-3, help="of the squared weights")
args = parser.parse_args()

classifier = gcvideo.load(args.checkpoint)
videos = data.annotated_videos(root=args.videos) if args.videos else data.demo_videos()


def features(split):
    """The features (n, c) and labels (n) of a split."""
    paths = [split.path(index) for index in range(len(split))]
    vectors = torch.stack([classifier.features(path) for path in paths])
    return vectors, torch.as_tensor(split.labels)


x, y = features(videos.train)
val_x, val_y = features(videos.val)
mean, std = x.mean(0), x.std(0) + 1e-6
x, val_x = (x - mean) / std, (val_x - mean) / std

layer = torch.nn.Linear(x.shape[1], len(videos.classes))
optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=200, line_search_fn="strong_wolfe")


def loss():
    """Cross-entropy with decay, and its gradients."""
    optimizer.zero_grad()
    fit = torch.nn.functional.cross_entropy(layer(x), y)
    value = fit + args.decay * layer.weight.square().sum()
    value.backward()
    return value


optimizer.step(loss)
for name, inputs, labels in (("train", x, y), ("val", val_x, val_y)):
    accuracy = (layer(inputs).argmax(1) == labels).float().mean()
    print(f"{name:5} top-1 {accuracy:.3f} on {len(labels)} videos")
print(f"chance top-1 {1 / len(videos.classes):.3f}")
