import pytest

from gcvideo.weights import ZOO


@pytest.mark.parametrize("name", ZOO)
def test_the_document_lists_every_published_file_as_its_record_says(project, name):
    record = ZOO[name]
    rows = (project / "docs" / "weights.md").read_text(encoding="utf-8").splitlines()
    protocol = record.protocol
    cells = (
        f"`{name}`",
        f"{record.top1:.2f} / {record.top5:.2f}",
        "ImageNet, inflated" if protocol is None else f"{protocol['name']}, {protocol['head']}",
        record.layout,
        record.licence,
        "yes" if record.sha256 else "no",
    )
    assert f"| {' | '.join(cells)} |" in rows
