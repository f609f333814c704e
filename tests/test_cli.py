"""The program as people call it: names of commands, flags, help, and one message for each mistake."""

import subprocess
import sys

import pytest

from gcvideo import cli
from gcvideo._invocation import command_line
from gcvideo.command.configuration._composition import config_folder
from gcvideo.command.configuration._help_text import read_comments

WITH_CONFIG = [name for name, command in cli.COMMANDS.items() if command.config is not None]


def call(monkeypatch, capsys, *words, name=None):
    """Exit status, standard output and standard error of the program."""
    monkeypatch.setattr(sys, "argv", ["/usr/bin/gcvideo", *map(str, words)])
    try:
        cli.main(name)
        status = 0
    except SystemExit as ending:
        status = ending.code or 0
    return status, *capsys.readouterr()


@pytest.fixture
def gcvideo_program(monkeypatch, capsys):
    return lambda *words, **given: call(monkeypatch, capsys, *words, **given)


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_the_program_alone_lists_its_commands(gcvideo_program, words):
    status, out, _ = gcvideo_program(*words)
    assert status == 0
    listed = [line.split("  ")[1] for line in out.splitlines() if line.startswith("  ")]
    assert listed == list(cli.COMMANDS)
    assert max(map(len, out.splitlines())) <= 80


def test_help_comes_without_the_libraries_of_a_job():
    code = "import sys; from gcvideo import cli; sys.argv = ['gcvideo', 'train', '--help']; cli.main(); "
    code += "print(sorted({'torch', 'av', 'numpy', 'lightning'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_list_comes_without_the_libraries_of_the_commands():
    code = "import sys; from gcvideo import cli; sys.argv = ['gcvideo']; cli.main(); "
    code += "print(sorted({'torch', 'hydra', 'av', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "there is no command 'trian'; did you mean 'train'?"),
        (["zzz"], "there is no command 'zzz'; `gcvideo` lists them"),
        (["attention"], "the word after 'attention' is missing; choose one of:"),
        (["attention", "stat"], "the word after 'attention' is 'stat'; choose one of:"),
    ],
)
def test_a_word_that_is_no_command_ends_with_what_there_is(gcvideo_program, words, message):
    status, _, err = gcvideo_program(*words)
    assert status == 2
    assert message in err


def test_every_command_has_a_script_of_its_first_word(project):
    scripts = {path.stem for path in (project / "scripts").glob("*.py")}
    names = {name.partition(" ")[0] for name in cli.COMMANDS}
    assert scripts == {*names, "benchmark"}
    for name in names:
        assert f'    main("{name}")\n' in (project / "scripts" / f"{name}.py").read_text()


def test_every_command_has_its_job_and_its_configuration():
    for name, command in cli.COMMANDS.items():
        assert callable(command.find_job()), name
    files = {path.stem for path in config_folder().glob("*.yaml")}
    assert files == {cli.COMMANDS[name].config for name in WITH_CONFIG} | {"compare", "benchmark"}


@pytest.mark.parametrize("name", [*WITH_CONFIG, "compare"])
def test_help_says_what_every_key_is_on_one_screen_and_ends_with_two_examples(
    gcvideo_program, monkeypatch, name
):
    monkeypatch.setenv("COLUMNS", "80")
    status, out, _ = gcvideo_program(*name.split(), "--help")
    assert status == 0
    lines = out.splitlines()
    *_, marker, first, second = lines
    assert marker == "examples"
    assert all(
        line.startswith(f"  gcvideo {name} ") or line == f"  gcvideo {name}"
        for line in (first, second)
    )
    assert max(map(len, lines[:-2])) <= 80
    assert len(lines) <= 75


@pytest.mark.parametrize("name", [*WITH_CONFIG, "compare"])
def test_every_key_of_a_command_has_a_comment(name):
    config = "compare" if name == "compare" else cli.COMMANDS[name].config
    comments = read_comments(config_folder() / f"{config}.yaml")
    groups = {path.name for path in config_folder().iterdir() if path.is_dir()}
    assert comments.summary.endswith((".", "?"))
    assert len(comments.examples) == 2
    assert [key.key for key in comments.keys if not key.text and key.key not in groups] == []


def test_a_script_names_itself_and_the_program_names_the_program(monkeypatch, project):
    monkeypatch.setattr(sys, "argv", [str(project / "scripts" / "train.py"), "x=1"])
    assert command_line("check") == f"python {project}/scripts/check.py"
    assert command_line("attention stats") == f"python {project}/scripts/attention.py stats"
    for other in ("/usr/bin/gcvideo", "-c", "", "/somewhere/else/train.py"):
        monkeypatch.setattr(sys, "argv", [other])
        assert command_line("check") == "gcvideo check"


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["train", "epochs=abc"], 2, "error: epochs is 'abc'; give a whole number of at least 1"),
        (["train", "modle=i3d"], 2, "did you mean model"),
        (["train", "i3d_gc"], 2, "'i3d_gc' stands alone, but 'train' takes words of the form KEY="),
        (["train", "-m", "resume=a,b"], 2, "continues one run, so it cannot be combined with -m"),
        (["train", "++resume=/no/run"], 2, "resume is '/no/run', where there is no config.yaml"),
        (["train", "--config-dir", "/no/folder"], 2, "--config-dir is '/no/folder', which is no"),
        (["train", "lr=(1"], 2, "put such a value into quotes within quotes"),
        (["cost", "-m", "num_frames=2,4"], 2, "'cost' does not take -m"),
        (["probe", "a.ckpt", "b.ckpt"], 2, "'b.ckpt' is one too many: besides KEY=VALUE, 'probe'"),
        (
            ["attention", "stats", "a", "hydra.run.dir=/dev/null/b"],
            2,
            "'/dev/null/b' cannot be written",
        ),
        (["predict", "none.ckpt", "none.mp4"], 1, "no video at 'none.mp4'"),
        (["predict", "checkpoint=x.ckpt"], 1, "video has no value; give it on the command line"),
    ],
)
def test_a_mistake_is_one_message(gcvideo_program, words, status, message):
    found, _, err = gcvideo_program(*words)
    assert found == status
    assert message in err
    assert "Traceback" not in err


def test_the_configuration_can_be_printed(gcvideo_program):
    status, out, _ = gcvideo_program("predict", "--cfg", "job", "a.ckpt", "b (1).mp4", "c.mp4")
    assert status == 0
    assert "checkpoint: a.ckpt\n" in out
    assert "video:\n- b (1).mp4\n- c.mp4\n" in out


def test_own_yaml_files_are_found_beside_those_of_the_package(gcvideo_program, tmp_path):
    folder = tmp_path / "mine, too"
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "narrow.yaml").write_text("defaults: [c2d]\nname: narrow\n")
    for flag in (["--config-dir", folder], [f"--config-dir={folder}"]):
        status, out, _ = gcvideo_program("train", *flag, "--cfg", "job", "model=narrow")
        assert status == 0
        assert "\n  name: narrow\n" in out
    assert gcvideo_program("train", "--cfg", "job", "model=narrow")[0] != 0
