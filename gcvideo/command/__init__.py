"""From configuration to runs: the only room that knows Hydra."""

from typing import TYPE_CHECKING

from gcvideo._lazy_name import lazy_names

if TYPE_CHECKING:
    from gcvideo.command._sweep_summary import SweepSummary as SweepSummary

# For ``conf``. Commands are found in `gcvideo.cli`, so that each pays for the imports of its own work alone.
__getattr__ = lazy_names(__name__, {"_sweep_summary": ("SweepSummary",)})
