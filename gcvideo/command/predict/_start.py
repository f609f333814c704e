"""The commands on videos, which are listed in another process while this one imports the libraries."""

from omegaconf import DictConfig

from gcvideo.command._listing import Listing
from gcvideo.command.predict._source import sources_of


def predict(cfg: DictConfig) -> object:
    """Begin to list the videos, then classify them as :func:`~gcvideo.command.predict.predict` does."""
    with Listing(sources_of(cfg)) as listing:
        from gcvideo.command.predict._live_prediction import predict as job  # noqa: PLC0415 (seconds)

        return job(cfg, listing.wait)


def features(cfg: DictConfig) -> object:
    """Begin to list the videos, then write their features."""
    with Listing(sources_of(cfg)) as listing:
        from gcvideo.command.predict._features import features as job  # noqa: PLC0415 (seconds)

        return job(cfg, listing.wait)
