"""A comparison with made-up results: answers drawn with a given accuracy, hard videos shared."""

import torch

from gcvideo.comparison._results import CellResult, Comparison, CurvePoint, VariantResult

CLASSES = (
    "applauding",
    "brush teeth",
    'catch <or throw> & "duck"',
    "clap hands",
    "danse du ventre \u00e9l\u00e9gante",
    "drinking from a very long straw while walking backwards",
    "\u6301\u3061\u4e0a\u3052\u308b",
    "falling floor",
    "golf",
    "hug",
    "kick ball",
    "push up",
)
EVERYWHERE = tuple(
    f"res{stage}.{index} ContextBlock"
    for stage, depth in ((3, 4), (4, 6), (5, 3))
    for index in range(depth)
)
FIVE = tuple(
    f"{place} NonLocalBlock" for place in ["res3.1", "res3.3", "res4.1", "res4.3", "res4.5"]
)
LONG_NAME = '<b>gc</b> & "add,mul" position=after_conv3'
VARIANTS = {
    "none": (0.45, ()),
    "gc ratio=1/16": (0.75, EVERYWHERE),
    "nl": (0.78, FIVE),
    "snl": (0.65, EVERYWHERE),
    "se": (0.46, EVERYWHERE),
    LONG_NAME: (0.44, EVERYWHERE[4:10]),
}
FACTS = {
    "command": "gcvideo compare preset=quick block=none,gc,nl,snl,se seeds=0,1,2",
    "machine": "two cores of <some> processor",
    "date": "2026-11-23",
}


def make_comparison(
    *, num_videos=240, seeds=(0, 1, 2), classes=CLASSES, variants=VARIANTS, missing=(), dropped=()
):
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(num_videos) % len(classes)
    hardness = torch.rand(num_videos, generator=random)

    def draw(*shape):
        return torch.rand(shape, generator=random)

    def cell(accuracy, seed):
        is_right = 0.7 * hardness + 0.3 * draw(num_videos) < accuracy + 0.01 * (seed - 1)
        scores = 0.5 * draw(num_videos, len(classes))
        scores[torch.arange(num_videos), labels] += torch.where(is_right, 1.0, -0.3)
        curve = tuple(
            CurvePoint(
                epoch,
                2 - 2 * accuracy + 2 * 0.8**epoch + 0.1 * float(draw()),
                accuracy * (1 - 0.75**epoch) + 0.03 * float(draw()) if epoch % 2 == 0 else None,
            )
            for epoch in range(1, 21)
        )
        return CellResult(
            seed=seed,
            videos=tuple(f"video {index}.mp4" for index in range(num_videos)),
            labels=labels,
            scores=scores.softmax(1),
            curve=curve,
            probes={"shuffled": 0.8 * accuracy, "frozen": 0.3 + 0.01 * seed},
        )

    results = tuple(
        VariantResult(
            name=name,
            settings={"block": name.split()[0]},
            blocks=blocks,
            num_parameters=2_100_000 + 12_345 * len(blocks),
            macs=330_000_000 + (90_000_000 if name == "nl" else 60_000 * len(blocks)),
            ms_per_clip=None if name == "snl" else 11.2 + 0.3 * len(blocks),
            train_ms_per_clip=40 + 1.5 * len(blocks),
            peak_bytes=(180 + 3 * len(blocks)) * 2**20,
            cells=tuple(cell(accuracy, seed) for seed in seeds if (name, seed) not in dropped),
        )
        for name, (accuracy, blocks) in variants.items()
    )
    return Comparison("Quick <comparison>", classes, next(iter(variants)), results, FACTS, missing)
