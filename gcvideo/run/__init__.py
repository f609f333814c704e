"""From configuration to runs: the only room that knows Hydra."""

from typing import TYPE_CHECKING

from gcvideo.lazy_name import lazy_names
from gcvideo.run.kinetics import kinetics as kinetics

if TYPE_CHECKING:
    from gcvideo.run.assembly import best_precision as best_precision
    from gcvideo.run.checking import check as check
    from gcvideo.run.comparing import compare as compare
    from gcvideo.run.comparing import run_comparison as run_comparison
    from gcvideo.run.composition import OverrideError as OverrideError
    from gcvideo.run.composition import check_overrides as check_overrides
    from gcvideo.run.converting import convert as convert
    from gcvideo.run.costing import cost as cost
    from gcvideo.run.exporting import export as export
    from gcvideo.run.indexing import index as index
    from gcvideo.run.prediction import predict as predict
    from gcvideo.run.probing import probe as probe
    from gcvideo.run.query_independence import attention_stats as attention_stats
    from gcvideo.run.reencoding import reencode as reencode
    from gcvideo.run.resuming import ResumeError as ResumeError
    from gcvideo.run.resuming import resumed_config as resumed_config
    from gcvideo.run.testing import test as test
    from gcvideo.run.training import run_training as run_training
    from gcvideo.run.training import train as train
    from gcvideo.run.video_list import find_videos as find_videos

# A command pays for the imports of its own work alone, and so does each of its processes.
__getattr__ = lazy_names(
    __name__,
    {
        "assembly": ("best_precision",),
        "checking": ("check",),
        "comparing": (
            "compare",
            "run_comparison",
        ),
        "composition": (
            "OverrideError",
            "check_overrides",
        ),
        "converting": ("convert",),
        "costing": ("cost",),
        "exporting": ("export",),
        "indexing": ("index",),
        "prediction": ("predict",),
        "probing": ("probe",),
        "query_independence": ("attention_stats",),
        "reencoding": ("reencode",),
        "resuming": (
            "ResumeError",
            "resumed_config",
        ),
        "testing": ("test",),
        "training": ("run_training", "train"),
        "video_list": ("find_videos",),
    },
)
