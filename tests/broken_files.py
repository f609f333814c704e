"""Ways in which files of a data set go bad."""

import av


def empty(path):
    path.write_bytes(b"")


def web_page(path):
    path.write_text("<!DOCTYPE html><html>This video is unavailable</html>")


def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def missing(path):
    path.unlink()


UNREADABLE = (empty, web_page, truncated, missing)


def damage_packet(path, number=10):
    """Make one packet of an h264 file in mp4 undecodable: its first unit would be 4 GiB long."""
    with av.open(str(path)) as container:
        positions = [packet.pos for packet in container.demux(video=0)]
    with path.open("r+b") as file:
        file.seek(positions[number])
        file.write(b"\xff\xff\xff\xff")
