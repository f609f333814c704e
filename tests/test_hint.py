import shlex
import subprocess

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from gcvideo._hint import override

NASTY = [
    "/data/k400/train.txt",
    "runs/demo (2)/a b",
    "it's/a 'quoted' name",
    'so "called"',
    "a[b]c/{x: 1}/d,e=f",
    "key=value",
    "$HOME/`date`/$(date)",
    "${oc.env:HOME}/x",
    "\\${x}/\\\\${y}",
    "back\\slash",
    "ends with\\",
    "ends with two\\\\",
    "quote behind\\' and\\\\'",
    "'",
    "\\",
    "null",
    "True",
    "1e3",
    "007",
    "nan",
    " leading and trailing ",
    "a;b&c|d>e<f*g?h#i!j~k^l%m@n",
    "choice(1,2)",
    "Ünïcode/日本",
    "~/x",
]


def meant(word):
    """The value that a word gives to a configuration, by Hydra and OmegaConf themselves."""
    (parsed,) = OverridesParser.create().parse_overrides([word])
    assert not parsed.is_sweep_override()
    cfg = OmegaConf.create({})
    OmegaConf.update(cfg, parsed.key_or_group, parsed.value())
    return cfg.data.train


@pytest.mark.parametrize("path", NASTY)
def test_a_pasted_override_gives_the_same_path(path):
    (word,) = shlex.split(shlex.quote(override("data.train", path)))
    assert meant(word) == path


@given(st.text("ab/'\"\\ $(){}[]=,.:", min_size=1, max_size=12))
def test_any_text_comes_through(text):
    assert meant(override("data.train", text)) == text


def test_a_plain_path_stays_as_it_is():
    assert override("resume", "runs/demo_i3d/2026-01-01") == "resume=runs/demo_i3d/2026-01-01"


def test_a_real_shell_takes_the_words_apart(tmp_path):
    words = [override("a", path) for path in NASTY]
    done = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {shlex.join(words)}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("\0")[:-1] == words
