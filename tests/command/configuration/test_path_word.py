import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st

from gcvideo.command.configuration._command_words import PATH_KEYS, literal_paths

PATHS = [
    "/data/my clips/take (2).mp4",
    "[a] b, c=d.mp4",
    "it's 'here' and \"there\".mp4",
    "{x}/y:z;#%&!~.mp4",
    "https://host/clip.mp4?a=1&b=2,3",
    "C:\\clips\\new\\",
    "ends with '",
    "back\\'slash",
]


def values(*words, **given):
    parsed = OverridesParser.create().parse_overrides(literal_paths(words, **given))
    return [list(o.sweep_string_iterator()) if o.is_sweep_override() else o.value() for o in parsed]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("key", ["video", "+video", "++data.root", "hydra.run.dir"])
def test_a_path_arrives_as_it_was_typed(key, path):
    assert values(f"{key}={path}") == [path]


@example("\\")
@example("'\\''")
@given(st.text(st.characters(exclude_categories=["C"]), min_size=1))
def test_any_text_arrives_as_it_was_typed(text):
    if text[0] in "'\"[" or text in ("null", "???") or "${" in text:
        return
    assert values(f"output={text}") == [text]


def test_what_hydra_means_by_a_value_keeps_its_meaning():
    assert values("video='a b'", 'video="c d"') == ["a b", "c d"]
    assert values("output=null", "data.test=", "csv=[a.csv,b.csv]") == [
        None,
        "",
        ["a.csv", "b.csv"],
    ]
    assert values("data.train=${data.root}/train.csv") == ["${data.root}/train.csv"]
    assert values("lr=0.1", "seeds=[1,2]") == [0.1, [1, 2]]


def test_a_file_whose_name_is_in_brackets_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "[one].mp4").touch()
    (tmp_path / "[two]").mkdir()
    assert values("video=[one].mp4", "video=[two]", "video=[three]") == [
        "[one].mp4",
        "[two]",
        ["three"],
    ]


def test_commas_separate_the_values_of_a_sweep_only():
    assert values("checkpoint=a b.ckpt,c(d).ckpt", is_sweep=True) == [["'a b.ckpt'", "'c(d).ckpt'"]]
    assert values("checkpoint='a,b.ckpt','c.ckpt'", is_sweep=True) == [["'a,b.ckpt'", "'c.ckpt'"]]
    assert values("checkpoint=a,b.ckpt") == ["a,b.ckpt"]


def test_the_keys_are_those_of_the_commands(project):
    text = "".join(
        path.read_text()
        for pattern in ("*.yaml", "data/*.yaml", "weights/*.yaml")
        for path in (project / "conf").glob(pattern)
    )
    for key in PATH_KEYS:
        assert f"{key.rpartition('.')[2]}:" in text, key
