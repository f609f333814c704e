"""A protocol for the videos of 48 x 64 pixels that tests make."""

from gcvideo.data import EvaluationProtocol, MMActionSampling

DESCRIPTION = {
    "_target_": "gcvideo.data.EvaluationProtocol",
    "name": "test",
    "sampling": {"_target_": "gcvideo.data.MMActionSampling"},
    "num_frames": 4,
    "sampling_rate": 2,
    "num_clips": 2,
    "num_crops": 1,
    "short_side": 48,
    "crop_size": 48,
    "val_crop_size": 32,
    "train_crop_size": 32,
}


def make_protocol(**changes):
    given = {key: value for key, value in DESCRIPTION.items() if key != "_target_"}
    return EvaluationProtocol(**(given | {"sampling": MMActionSampling()} | changes))
