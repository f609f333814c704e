"""Parts by several processes, joined, are what one process writes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from broken_files import damage_packet

from gcvideo.cli import COMMANDS
from gcvideo.command.dataset import _checking as checking
from gcvideo.command.dataset import _indexing as indexing
from gcvideo.command.dataset import _reencoding as reencoding
from gcvideo.command.dataset import _work as work
from gcvideo.command.dataset._sole_work import OutputInUseError, sole_work
from gcvideo.command.dataset._work import claim_folder

OPENING = {
    "check": (checking, "check_video"),
    "index": (indexing, "index_video"),
    "reencode": (reencoding, "reencode_video"),
}
each_command = pytest.mark.parametrize("command", OPENING)
each_command_slowly = pytest.mark.parametrize(
    "command",
    ["index", *(pytest.param(name, marks=pytest.mark.slow) for name in ("check", "reencode"))],
)


@pytest.fixture
def videos(video_folder, tmp_path):
    """Ten sound videos, one that is damaged and one that cannot be read."""
    root = shutil.copytree(video_folder, tmp_path / "videos")
    damage_packet(root / "light" / "light_1.mp4")
    (root / "dark" / "dark_1.mp4").write_bytes(b"<html>404</html>")
    return root


@pytest.fixture
def run(compose_config, videos, tmp_path, monkeypatch):
    """Runs a command without further processes; its result, and the videos that were opened."""
    monkeypatch.chdir(tmp_path)
    opened = []

    def watch(module, name):
        real = getattr(module, name)

        def watched(*arguments, **settings):
            opened.append(next(Path(a).stem for a in arguments if "/videos/" in str(a)))
            return real(*arguments, **settings)

        monkeypatch.setattr(module, name, watched)

    for module, name in OPENING.values():
        watch(module, name)

    def run(command, output, *words):
        opened.clear()
        key = "output_dir" if command == "check" else "output"
        place = tmp_path / output / "index.safetensors" if command == "index" else tmp_path / output
        given = ["data=folder", f"data.root={videos}", "num_workers=0", f"{key}={place}", *words]
        return COMMANDS[command].find_job()(compose_config(command, given)), sorted(opened)

    return run


def contents(folder):
    """Bytes by path; of copies only that they are there, because an encoder may not repeat itself."""
    return {
        str(file.relative_to(folder)): file.suffix == ".mp4" or file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@each_command_slowly
def test_joined_parts_are_what_one_process_writes_and_nothing_is_done_twice(
    run, tmp_path, command, capsys
):
    opened = []
    for index in (2, 0, 1):
        result, mine = run(command, "parts", f"shard={index}/3")
        assert not COMMANDS[command].has_failed(result)  # or torchrun would end the other parts
        assert len(mine) == 4
        opened += mine
        failed = int("dark_1" in mine)
        printed = " ".join(capsys.readouterr().out.split())
        assert (
            f"part {index}/3: its 4 videos are done, {failed} of them failed; when all" in printed
        )
    assert len({*opened}) == 12
    names = {path.partition(".")[2] for path in contents(tmp_path / "parts")}
    assert not {"txt", "csv", "png", "safetensors"} & names
    joined, anew = run(command, "parts")
    assert anew == []
    assert "12 videos are taken over from 3 parts, 0 are to be done anew" in capsys.readouterr().out
    whole, _ = run(command, "whole")
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    has_failed = COMMANDS[command].has_failed
    assert has_failed(joined) == has_failed(whole) == (command != "index")


@each_command_slowly
def test_what_parts_lack_is_done_anew_and_a_stopped_part_goes_on(
    run, tmp_path, command, monkeypatch, capsys
):
    module, name = OPENING[command]
    watched, calls = getattr(module, name), []

    def stopped(*arguments, **settings):
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return watched(*arguments, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, stopped)
        with pytest.raises(KeyboardInterrupt):
            run(command, "parts", "shard=0/2")
    capsys.readouterr()
    _, rest = run(command, "parts", "shard=0/2")
    # What could not be read is tried again, as without parts.
    assert len([stem for stem in rest if stem != "dark_1"]) == 3
    # Of the other part there is nothing, and a video of this one has changed since.
    changed = next(stem for stem in rest if stem != "dark_1")
    file = tmp_path / "videos" / changed.partition("_")[0] / f"{changed}.mp4"
    later = file.stat().st_mtime + 1000
    os.utime(file, (later, later))
    _, anew = run(command, "parts")
    assert len(anew) == 7
    assert changed in anew
    assert "5 videos are taken over from 1 parts, 7 are to be done" in capsys.readouterr().out
    run(command, "whole")
    made, expected = contents(tmp_path / "parts"), contents(tmp_path / "whole")
    for journal in {"journal.jsonl"} & made.keys():  # in the order in which videos were done
        made[journal], expected[journal] = (
            sorted(dict((json.loads(line)[0], line) for line in text.splitlines()).items())
            for text in (made[journal], expected[journal])
        )
    assert made == expected


@each_command
def test_a_part_leaves_out_what_the_whole_knows(run, command):
    run(command, "out")
    _, opened = run(command, "out", "shard=0/2")
    assert opened in ([], ["dark_1"])


@pytest.fixture
def other_process(project):
    """Starts a process that is at work on an output."""
    started = []

    def start(output, shard):
        program = (
            "import sys, time\n"
            "from pathlib import Path\n"
            "from gcvideo.command._shard import Shard\n"
            "from gcvideo.command.dataset._sole_work import sole_work\n"
            f"with sole_work(Path({str(output)!r}), 'output', {shard}):\n"
            "    print('at work', flush=True)\n"
            "    time.sleep(600)\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONPATH": str(project)},
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "at work\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["check", "index"])
def test_a_part_at_work_is_neither_joined_nor_written_by_another_process(
    run, tmp_path, command, other_process
):
    run(command, "out", "shard=1/2")
    output = tmp_path / "out" / "index.safetensors" if command == "index" else tmp_path / "out"
    process = other_process(output, "Shard(1, 2)")
    before = contents(tmp_path / "out")
    with pytest.raises(
        OutputInUseError,
        match=r"out.*' is being written by other processes, which w"
        r"ork on parts of it: number 1; wait for it, or stop it",
    ):
        run(command, "out")
    with pytest.raises(OutputInUseError, match="another process, which works on the same part 1/2"):
        run(command, "out", "shard=1/2")
    assert contents(tmp_path / "out") == before
    run(command, "out", "shard=0/2")
    process.kill()
    process.wait()
    _, opened = run(command, "out")
    assert opened == []
    other_process(output, None)
    with pytest.raises(OutputInUseError, match="another process, which works on all of it"):
        run(command, "out", "shard=1/2")
    with pytest.raises(OutputInUseError, match="another process, which works on all of it"):
        run(command, "out")


def test_a_copy_that_outlives_its_killed_part_is_noted_by_the_next_one(run, tmp_path, capsys):
    run("reencode", "out", "shard=0/2")
    journal = tmp_path / "out" / "reencoding.0-of-2.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(line for line in lines if '"reason": ""' not in line))
    for _ in range(2):
        run("reencode", "out", "shard=0/2")
        assert sorted(journal.read_text().splitlines(keepends=True)) == sorted(lines)
    run("reencode", "out")
    assert "6 videos are taken over from 1 parts, 6 are to be done" in capsys.readouterr().out


def test_a_process_that_waited_for_a_lock_that_was_deleted_takes_the_new_one(tmp_path, monkeypatch):
    # Another process deletes the file between its opening and its locking here.
    real, opened = Path.open, []

    def opening(path, *arguments, **options):
        file = real(path, *arguments, **options)
        if path.name == ".lock" and not opened:
            opened.append(path)
            path.unlink()
        return file

    monkeypatch.setattr(Path, "open", opening)
    with sole_work(tmp_path, "output", None):
        assert opened == [tmp_path / ".lock"]
        assert (tmp_path / ".lock").exists()
    assert not list(tmp_path.iterdir())


@each_command
def test_parts_out_of_another_number_are_refused(run, command):
    run(command, "out", "shard=0/3")
    with pytest.raises(
        ValueError, match=r"shard is 1/2, but '.*' has parts out of 3; go on with th"
    ):
        run(command, "out", "shard=1/2")
    with pytest.raises(ValueError, match="shard is '3/3'; give the number of this part"):
        run(command, "out", "shard=3/3")


@pytest.mark.parametrize("theirs", [{"crf": 20}, {"crf": 30}])
def test_two_processes_note_at_the_same_moment_what_a_folder_holds(tmp_path, monkeypatch, theirs):
    write_json, note = work.write_json, tmp_path / "out" / "note.json"

    def both(path, content):
        write_json(note, theirs)  # of the other process, between our look and our writing
        write_json(path, content)

    monkeypatch.setattr(work, "write_json", both)
    if theirs == {"crf": 20}:
        claim_folder(note.parent, "output", note.name, {"crf": 20})
    else:
        with pytest.raises(
            ValueError, match=r"contains results for \{'crf': 30\}, not \{'crf': 20"
        ):
            claim_folder(note.parent, "output", note.name, {"crf": 20})
    assert json.loads(note.read_text()) == theirs
    assert list(note.parent.iterdir()) == [note]


def test_a_folder_is_noted_where_there_are_no_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(work.os, "link", refuse)
    claim_folder(tmp_path, "output", "note.json", {"crf": 20})
    claim_folder(tmp_path, "output", "note.json", {"crf": 20})
    assert [file.name for file in tmp_path.iterdir()] == ["note.json"]


def test_torchrun_gives_each_process_a_part(run, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "a")
    monkeypatch.setenv("WORLD_SIZE", "2")
    opened = []
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        opened += run("index", "out")[1]
    assert len({*opened}) == len(opened) == 12
    assert len(list((tmp_path / "out").glob("index.?-of-2.safetensors"))) == 2
