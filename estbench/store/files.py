"""What is asked of the file system: whole files or none, one writer at a time, and a reason where it refuses."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from estbench.errors import ResultsError


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file by these bytes, or this text (UTF-8): whoever reads it finds the old or the new, whole.

    ResultsError if the file cannot be written; then the old one is still there.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with explained(path, "write this file"):
        try:
            with draft.open("wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        _sync_names(path.parent)


def open_alone(path: Path) -> int:
    """A descriptor of the file for appending, held by no other process; it must be closed.

    The lock is one of the system (flock), on the file itself: however this process ends, nothing of it stays behind.
    """
    if path.is_symlink():
        raise ResultsError(f"{path}: a symbolic link is read, but not written to. Choose another folder with -o.")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _sync_names(path.parent)
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise ResultsError(
                f"{path.parent}: another process is writing to this run. Wait for it, stop it, or choose another "
                "folder with -o."
            ) from None
        raise
    return descriptor


def check_regular(path: Path) -> None:
    """ResultsError if the path is a folder, a pipe or a device."""
    if not path.is_file():
        raise ResultsError(f"{path}: not a regular file. Restore it, or choose another folder with -o.")


@contextmanager
def explained(path: Path, action: str) -> Iterator[None]:
    """Turn a refusal of the system into a message that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            advice = "Make room (or raise `ulimit -f`) and issue the same command again: it goes on from what is there."
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            advice = "Get the right to, or choose another folder (-o)."
        else:
            advice = "What was there before still is; choose another folder (-o) if this one cannot be mended."
        raise ResultsError(f"{path}: cannot {action}: {error.strerror or error}. {advice}") from error


def _sync_names(folder: Path) -> None:
    """Make names that were created or replaced in the folder last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
