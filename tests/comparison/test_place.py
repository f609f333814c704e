import pytest

from gcvideo.comparison._place import describe_blocks


@pytest.mark.parametrize(
    ("blocks", "text"),
    [
        ((), "none"),
        (("res4.5 ContextBlock",), "1 ContextBlock: res4.5"),
        (
            ("res3.1 NL", "res3.3 NL", "res4.0 NL", "res4.1 NL", "res4.2 NL", "res4.5 NL"),
            "6 NL: res3.1,3 res4.0-2,5",
        ),
        (("res3.0 SE", "res3.0 GC", "res3.1 GC"), "1 SE: res3.0; 2 GC: res3.0-1"),
        (("somewhere GC", "res3.0 GC"), "2 GC: somewhere res3.0"),
        (("res3.0", "res3.1"), "2 block: res3.0-1"),
    ],
)
def test_blocks_are_counted_and_placed(blocks, text):
    assert describe_blocks(blocks) == text
