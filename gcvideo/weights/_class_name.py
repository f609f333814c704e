"""Names of the classes that published weights tell apart, in the order of their outputs.

kinetics400_classes.txt: the class names of Kinetics-400 (DeepMind) in alphabetical order; the order
of tools/data/kinetics/label_map_k400.txt of mmaction2 and of process_data/kinetics/classids.json of
video-nonlocal-net.
"""

from importlib.resources import files

_LISTS = ("kinetics400",)


def class_names(classes: str) -> tuple[str, ...]:
    """Class names in the order of the labels.

    Args:
        classes: name of the list, "kinetics400".

    Raises:
        ValueError: for another name.
    """
    if classes not in _LISTS:
        raise ValueError(
            f"no list of class names is called {classes!r}; choose one of {', '.join(_LISTS)}"
        )
    text = files("gcvideo.weights").joinpath(f"{classes}_classes.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
