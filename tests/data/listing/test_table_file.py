import pytest
from touched_file import touch

from gcvideo.data.listing._annotation import read_annotations, read_classes

ROWS = [("jump/ä.mp4", "springen"), ("wave/ß.mp4", "grüßen"), ("wave/y.mp4", "grüßen")]
CLASSES = ("grüßen", "springen")


@pytest.fixture
def root(tmp_path):
    return touch(tmp_path, "jump/ä.mp4", "wave/ß.mp4", "wave/y.mp4", "x.mp4", "a b.mp4")


def table(separator=", ", header="path, label"):
    lines = [header.replace(",", separator), *(separator.join(row) for row in ROWS)]
    return "".join(f"{line}\r\n" for line in lines)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-32", "utf-16-le-bom"]
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("name", ["t.csv", "t.txt", "t.tsv"])
def test_encodings_and_separators_of_spreadsheets_are_read(root, encoding, separator, name):
    content = table(separator).encode(encoding.removesuffix("-bom"))
    (root / name).write_bytes((b"\xff\xfe" if encoding.endswith("-bom") else b"") + content)
    found = read_annotations(name, root=root)
    assert [*zip(found.paths, (found.classes[i] for i in found.labels), strict=True)] == ROWS
    assert found.classes == CLASSES


@pytest.mark.parametrize("header", ["Path,Label", " FILE , Class Name ", "Video,CLASS"])
def test_headings_are_read_in_any_case(root, header):
    (root / "t.csv").write_text(table(header=header), encoding="utf-8")
    assert read_annotations("t.csv", root=root).classes == CLASSES


def test_splits_of_a_table_are_read_in_any_case(root):
    rows = ["jump/ä.mp4,0,TRAIN", "x.mp4,1,Train", "wave/ß.mp4,0,Valid", "wave/y.mp4,1,VAL"]
    (root / "t.csv").write_text("\n".join(["Path,Label,Split", *rows]), encoding="utf-8")
    assert read_annotations("t.csv", root=root, split="train").paths == ("jump/ä.mp4", "x.mp4")
    assert len(read_annotations("t.csv", root=root, split="val")) == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", "x.mp4,0\nwave/y.mp4,1\n"),
        ("t.csv", "x.mp4 0\nwave/y.mp4 1\n"),
        ("t.txt", "x.mp4;0\nwave/y.mp4;1\n"),
        ("t.txt", "x.mp4\t0\nwave/y.mp4\t1\n"),
        ("t.txt", "\nx.mp4 0.0\r\n\r\nwave/y.mp4 1.0\r\n"),
        ("t.csv", "path,label\nx.mp4,0.0\nwave/y.mp4,1.0\n"),
        ("t.csv", "path,label\nx.mp4,0\n,\n\nwave/y.mp4,1.0\n"),
        ("t.csv", "label,x,path\n0,,x.mp4\n1,q,wave/y.mp4\n"),
    ],
)
def test_lists_with_and_without_headings_mean_the_same(root, name, text):
    (root / name).write_text(text, encoding="utf-8", newline="")
    found = read_annotations(name, root=root)
    assert (found.paths, found.labels.tolist()) == (("x.mp4", "wave/y.mp4"), [0, 1])


def test_a_name_with_spaces_may_stand_behind_a_tab(root):
    (root / "t.txt").write_text("x.mp4\tair drumming\na b.mp4\tzumba\n", encoding="utf-8")
    found = read_annotations("t.txt", root=root)
    assert (found.paths, found.classes) == (("x.mp4", "a b.mp4"), ("air drumming", "zumba"))


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("a.csv", ["path,label", "x.mp4,"], r"a\.csv, row 2 has no label; complete or delete it"),
        ("b.csv", ["path,label", "x.mp4,0", "x.mp4"], "row 3 has no label; complete or delete it"),
        ("c.csv", ["path,label", "x.mp4,0", "x.mp4,3,7"], "row 3 has 3 fields .*one class"),
        ("d.csv", ["path,label", "x.mp4,3", "x.mp4,3;7"], "row 3: '3;7' is several labels; keep"),
        (
            "e.csv",
            ["path,label", "x.mp4,run", "x.mp4,jump|run", "x.mp4,jump"],
            r"row 3: 'jump\|run' is several labels; keep one",
        ),
        (
            "f.csv",
            ["path,label", "x.mp4,0.0", "x.mp4,nan"],
            "row 3: 'nan' is not a label among whole",
        ),
        ("g.txt", ["x.mp4 0", "x.mp4 3 7"], "row 2: 'x.mp4 3 7' has more than one word after the"),
        ("h.txt", ["x.mp4 0", "x.mp4 3,7"], "row 2: '3,7' is several labels"),
        ("i.txt", ["x.mp4 0", "x.mp4 air drum"], "row 2: .*names with spaces need a table"),
        ("k.csv", ['path,label\nx.mp4,"0\x00'], "contains zero bytes, .* save it as UTF-8"),
    ],
)
def test_a_row_that_cannot_be_meant_is_named(root, name, lines, message):
    (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_annotations(name, root=root)


def test_bytes_of_a_list_are_names_of_files_where_such_files_are(root):
    name = b"wave/caf\xe9.mp4".decode("utf-8", "surrogateescape")
    lines = b"x.mp4 0\nwave/caf\xe9.mp4 1\n"
    (root / "t.txt").write_bytes(lines)
    with pytest.raises(ValueError, match=r"t\.txt, row 2: .*nor 'wave/café\.mp4', as.*as UTF-8"):
        read_annotations("t.txt", root=root)
    (root / "wave" / "café.mp4").touch()
    assert read_annotations("t.txt", root=root).paths == ("x.mp4", "wave/café.mp4")
    try:
        (root / name).touch()
    except OSError:
        pytest.skip("a file system of UTF-8 alone")
    (root / "wave" / "café.mp4").unlink()
    assert read_annotations("t.txt", root=root).paths == ("x.mp4", name)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_class_lists_are_read_in_any_encoding(root, encoding):
    (root / "c.txt").write_text("grüßen\r\n\r\nspringen\r\n", encoding=encoding, newline="")
    assert read_classes(root / "c.txt") == CLASSES


def test_a_table_of_kinetics_is_read_like_any_other(root):
    (root / "id1_000002_000012.mp4").touch()
    rows = ["Label;YouTube_ID;Time_Start;Time_End;Split", "grüßen;id1;2;12;Train"]
    rows += ["springen;id2;1.0;11.0;Train"]
    (root / "k.csv").write_text("\n".join(rows), encoding="cp1252")
    found = read_annotations("k.csv", root=root, split="train")
    assert (found.paths, found.num_missing) == (("id1_000002_000012.mp4",), 1)
    assert found.classes == CLASSES
