"""Files: written whole or not at all, by one writer at a time, with a clear message where the system refuses.

Nothing of ours is written through a symbolic link, and nothing is written into a folder that has taken the place of the
one that was opened.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from estbench.errors import FullError, ResultsError

DRAFT = re.compile(r"\.estbench-[0-9a-f]{32}\.draft")
"""The names of files that are being written. A draft is locked as long as its writer lives."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


class Place:
    """A folder that stays open: a file written to it by name is in that folder, even if the path is replaced."""

    def __init__(self, path: Path) -> None:
        """Open the folder; it is to be closed."""
        self.path = path
        self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def check(self) -> None:
        """ResultsError if the folder no longer is where it was."""
        try:
            there = os.path.samestat(os.stat(self.path), os.fstat(self.descriptor))  # noqa: PTH116 - beside fstat
        except OSError:
            there = False
        if not there:
            raise ResultsError(
                f"{self.path}: was moved, renamed or replaced while the run was going on. Nothing was written to what "
                "is there now; what is finished is in the folder that was moved: go on there with -o."
            )

    def has(self, name: str, status: os.stat_result) -> bool:
        """Whether the file of that name in the folder is the one of this status."""
        try:
            return os.path.samestat(os.stat(name, dir_fd=self.descriptor, follow_symlinks=False), status)
        except OSError:
            return False

    def write(self, name: str, content: str | bytes, action: str = "write this file") -> None:
        """Replace a file of the folder, as `write_atomically` does."""
        self.check()
        with explained(self.path / name, action):
            _replace(self.descriptor, name, self.path / name, content)

    def sweep(self) -> None:
        """Delete the drafts whose writers have been killed."""
        with explained(self.path, "read this folder"):
            _sweep(self.descriptor)

    def close(self) -> None:
        """Let go of the folder."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = -1


def write_atomically(path: Path, content: str | bytes, action: str = "write this file") -> None:
    """Replace a file by these bytes, or this text (UTF-8): whoever reads it finds the old or the new, whole.

    ResultsError if the file cannot be written, or is a symbolic link or anything else than a file; then what was there
    still is. Drafts in that folder, left by killed processes, are deleted.
    """
    with explained(path, action):
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _replace(descriptor, path.name, path, content)
        finally:
            os.close(descriptor)


def open_alone(place: Place, name: str) -> int:
    """A descriptor of a file of the folder for appending, held by no other process; it must be closed.

    The lock is one of the system (flock), on the file itself: however this process ends, nothing of it stays behind.
    """
    check_regular(place.path / name, missing=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(name, flags, 0o666, dir_fd=place.descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.fsync(place.descriptor)
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise ResultsError(
                f"{place.path}: another process is writing to this run. Wait for it, stop it, or choose another "
                "folder with -o."
            ) from None
        raise
    return descriptor


def check_regular(path: Path, *, missing: bool = False) -> None:
    """ResultsError if the path is a symbolic link, a folder, a pipe or a device, or, unless it may be, missing."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        if missing:
            return
        raise
    if stat.S_ISLNK(mode):
        raise ResultsError(
            f"{path}: a symbolic link, which is not followed. Put the file itself there, or choose another folder."
        )
    if not stat.S_ISREG(mode):
        raise ResultsError(f"{path}: not a regular file. Restore or remove it, or choose another folder.")


def check_folder(path: Path) -> None:
    """ResultsError if something else than a folder is there; a symbolic link to one is something else."""
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        what = "a symbolic link, which is not followed" if path.is_symlink() else "not a folder"
        raise ResultsError(f"{path}: {what}. Remove it, or choose another folder with -o.")


@contextmanager
def explained(path: Path, action: str) -> Iterator[None]:
    """Turn a refusal of the system into a message that says what to do."""
    try:
        yield
    except OSError as error:
        said = f"{path}: cannot {action}: {error.strerror or error}."
        if error.errno in _FULL:
            raise FullError(
                f"{said} Make room (or raise `ulimit -f`) and issue the same command again: it goes on from what is "
                "there."
            ) from error
        if error.errno in _FORBIDDEN:
            raise ResultsError(f"{said} Get permission to do so, or choose another folder (-o).") from error
        raise ResultsError(
            f"{said} What was there before is unchanged; choose another folder (-o) if this one cannot be repaired."
        ) from error


def _replace(folder: int, name: str, path: Path, content: str | bytes) -> None:
    _sweep(folder)
    _check_target(folder, name, path)
    draft, descriptor = _draft(folder)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor has no path
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
            os.replace(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(draft, dir_fd=folder)
        raise
    os.fsync(folder)


def _check_target(folder: int, name: str, path: Path) -> None:
    """ResultsError if what is to be replaced is no regular file."""
    with suppress(FileNotFoundError):
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if not stat.S_ISREG(mode):
            what = "a symbolic link, which is not followed" if stat.S_ISLNK(mode) else "not a regular file"
            raise ResultsError(f"{path}: {what}. Remove it, or write elsewhere (-o).")


def _draft(folder: int) -> tuple[str, int]:
    """The name and the descriptor of a new file in the folder, locked."""
    while True:
        name = f".estbench-{secrets.token_hex(16)}.draft"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, 0o666, dir_fd=folder)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return name, descriptor
        os.close(descriptor)  # another process took it for one that was left behind, before it was locked


def _sweep(folder: int) -> None:
    for name in filter(DRAFT.fullmatch, os.listdir(folder)):
        with suppress(OSError):  # it is gone, or is being written
            descriptor = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(name, dir_fd=folder)
            finally:
                os.close(descriptor)
