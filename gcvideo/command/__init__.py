"""From configuration to runs: the only room that knows Hydra."""

from typing import TYPE_CHECKING

from gcvideo._lazy_name import lazy_names

if TYPE_CHECKING:
    from gcvideo.command._converting import convert as convert
    from gcvideo.command._costing import cost as cost
    from gcvideo.command._device import best_precision as best_precision
    from gcvideo.command._exporting import export as export
    from gcvideo.command._probing import probe as probe
    from gcvideo.command._testing import test as test
    from gcvideo.command._video_list import find_videos as find_videos
    from gcvideo.command.configuration._composition import OverrideError as OverrideError
    from gcvideo.command.configuration._composition import check_overrides as check_overrides
    from gcvideo.command.train._sweep_summary import SweepSummary as SweepSummary

# A command pays for the imports of its own work alone, and so does each of its processes.
__getattr__ = lazy_names(
    __name__,
    {
        "_device": ("best_precision",),
        "_converting": ("convert",),
        "_costing": ("cost",),
        "_exporting": ("export",),
        "_probing": ("probe",),
        "_testing": ("test",),
        "_video_list": ("find_videos",),
        "configuration._composition": (
            "OverrideError",
            "check_overrides",
        ),
        "train._sweep_summary": ("SweepSummary",),
    },
)
