"""Locks on the bytes of a file, which end with their process, however it ends."""

import errno
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

HAS_LOCKS = fcntl is not None
_BUSY = (errno.EACCES, errno.EAGAIN)


def take(file: BinaryIO, first: int = 0, length: int = 0) -> bool:
    """Lock bytes of a file until it is closed; False if another process has one of them.

    The lock is a record lock of POSIX, which works over NFS. Processes that read videos do not inherit it,
    and may outlive a killed command by seconds. On file systems without locks, and on Windows, every process
    gets it.

    Args:
        file: open for writing.
        first: first byte, which need not exist.
        length: number of bytes; 0: to infinity.
    """
    if fcntl is None:
        return True
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, length, first)
    except OSError as error:
        return error.errno not in _BUSY
    return True
