"""Hints of libraries that mean nothing to a user."""

import logging
import os
import warnings


def quiet_libraries() -> None:
    """Silence Lightning's hints on its other products, its own deprecations, and SLURM outside a job.

    Lightning sets the level of its log when it is imported: call this afterwards.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # the run reports its device
    warnings.filterwarnings("ignore", message=".isinstance.treespec, LeafSpec.. is deprecated")
    # Its successor does not exist in older torch.
    warnings.filterwarnings("ignore", message=".broadcast_buffers. is deprecated")
    if "SLURM_JOB_ID" not in os.environ:  # on a login node, or one machine with SLURM's commands
        warnings.filterwarnings("ignore", message="The .srun. command is available")
