"""Published weights by name."""

import difflib
from collections.abc import Mapping
from types import MappingProxyType

from gcvideo.weights._state_file import WeightsError
from gcvideo.weights.zoo import _mmaction2 as mmaction2
from gcvideo.weights.zoo import _mmaction2_0x as mmaction2_0x
from gcvideo.weights.zoo import _pyslowfast as pyslowfast
from gcvideo.weights.zoo import _pytorchvideo as pytorchvideo
from gcvideo.weights.zoo import _torchvision as torchvision
from gcvideo.weights.zoo import _video_nonlocal as video_nonlocal
from gcvideo.weights.zoo._record import PublishedWeights as PublishedWeights

_TABLES = (
    mmaction2,
    mmaction2_0x,
    pyslowfast,
    pytorchvideo,
    torchvision,
    video_nonlocal,
)
_RECORDS = [record for table in _TABLES for record in table.RECORDS]

ZOO: Mapping[str, PublishedWeights] = MappingProxyType(
    {record.name: record for record in sorted(_RECORDS, key=lambda record: record.name)}
)


def published(name: str) -> PublishedWeights:
    """The published weights of that name.

    Raises:
        WeightsError: if there are none.
    """
    if name not in ZOO:
        nearest = difflib.get_close_matches(name, ZOO, n=3, cutoff=0)
        raise WeightsError(
            f"no published weights are called {name!r}; the nearest names are {', '.join(nearest)}; "
            "list(gcvideo.weights.zoo.ZOO) has all"
        )
    return ZOO[name]
