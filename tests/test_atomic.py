"""A file appears whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from netc.atomic import refuse_unwritable, replacing
from netc.diagnostic import Fault


def left(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refused(path: Path) -> Fault:
    with pytest.raises(Fault) as caught, replacing(path) as file:
        file.write(b"new")
    return caught.value


def test_the_new_file_takes_the_old_ones_place_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    with replacing(target) as file:
        file.write(b"new")
        assert target.read_bytes() == b"old"
        assert Path(file.name).parent == tmp_path  # the same file system, so that the rename is one step
        assert Path(file.name).name.startswith(".")
    assert left(tmp_path) == {"a.bin": b"new"}


@pytest.mark.parametrize("error", [ValueError("bug"), KeyboardInterrupt(), SystemExit(1)])
def test_any_exception_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")

    def interrupted() -> None:
        with replacing(target) as file:
            file.write(b"half")
            raise error

    with pytest.raises(type(error)):
        interrupted()
    assert left(tmp_path) == {"a.bin": b"old"}


def test_a_new_files_mode_follows_the_umask_and_a_replaced_ones_stays(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with replacing(tmp_path / "new") as file:
            file.write(b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640  # 666 less 027
    (tmp_path / "new").chmod(0o600)
    with replacing(tmp_path / "new") as file:
        file.write(b"y")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600
    assert os.umask(before) == before  # reading the umask left it as it was


def test_a_link_stays_and_the_file_behind_it_is_replaced(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(b"old")
    link.symlink_to(real)
    with replacing(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"


def test_the_error_of_another_file_passes_through(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a.bin"):
        (tmp_path / "other").read_bytes()
    assert left(tmp_path) == {}


def test_a_directory_a_missing_folder_and_a_device_are_refused_by_name(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "no" / "a.bin", Path(os.devnull), tmp_path / ("x" * 300), tmp_path / "nul\0"):
        fault = refused(path)
        assert fault.code == "N410"
        assert fault.exit_code == 1
        assert str(path)[:40] in fault.message
    assert left(tmp_path) == {}
    assert not Path(os.devnull).is_file()


def test_a_relative_name_is_written_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with replacing("a.bin") as file:
        file.write(b"x")
    assert left(tmp_path) == {"a.bin": b"x"}


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "N412"),
        (errno.EDQUOT, "N412"),
        (errno.EACCES, "N411"),
        (errno.EROFS, "N411"),
        (errno.EIO, "N413"),
    ],
)
def test_a_full_disk_and_a_read_only_one_are_the_machines_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    def fail(_descriptor: int) -> NoReturn:
        raise OSError(number, os.strerror(number))

    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", fail)
    fault = refused(target)
    assert (fault.code, fault.exit_code) == (code, 3)
    assert str(target) in fault.message
    assert os.strerror(number) in fault.message
    assert left(tmp_path) == {"a.bin": b"old"}


def test_a_folder_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    tmp_path.chmod(0o500)
    try:
        assert refused(tmp_path / "a.bin").code == "N411"
    finally:
        tmp_path.chmod(0o700)


LIMITED = """
import resource, signal, sys
from netc.atomic import replacing
from netc.diagnostic import Fault
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
try:
    with replacing(sys.argv[1]) as file:
        for _ in range(64):
            file.write(bytes(4096))
except Fault as fault:
    sys.exit(f"{fault.code} {fault.exit_code}")
"""


def test_a_write_that_the_kernel_cuts_short_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    run = subprocess.run([sys.executable, "-c", LIMITED, str(target)], capture_output=True, text=True, check=False)
    assert run.stderr.strip() == "N412 3"
    assert left(tmp_path) == {"a.bin": b"old"}


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system takes no advice on files")
def test_the_file_that_goes_leaves_memory_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, int]] = []

    def advised(descriptor: int, _at: int, _size: int, advice: int) -> None:
        told.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), advice))

    monkeypatch.setattr(os, "posix_fadvise", advised)
    target = tmp_path / "a"
    for text in (b"one", b"two"):
        refuse_unwritable(target)  # it only asks: what is there stays in memory
        with replacing(target) as file:
            file.write(text)
    assert told == [(str(target), os.POSIX_FADV_DONTNEED)]
    assert target.read_bytes() == b"two"
