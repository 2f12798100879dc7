"""Recordings inside archives or folders: what is a clip, whose it is, and the text to parse."""

import hashlib
import lzma
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from motionlab.datasets.mocap.amc import parse_amc
from motionlab.datasets.mocap.asf import parse_asf
from motionlab.datasets.mocap.bvh import bvh_to_clip, parse_bvh
from motionlab.datasets.mocap.clip import MocapClip
from motionlab.datasets.mocap.sources import find_source
from motionlab.utils import DataError

SETS = ('bandai1', 'bandai2', 'cmu')
ARCHIVE_SUFFIXES = ('.tar', '.tar.gz', '.tgz', '.tar.xz')
_MOTION_SUFFIXES = ('.bvh', '.amc')
_BANDAI_NAME = re.compile(r'dataset-([12])_([a-z0-9-]+)_([a-z0-9-]+)_(\d+)')
_CMU_NAME = re.compile(r'(\d{2,3})_(\d{2,3})')
_CMU_FPS = 120.0


@dataclass(frozen=True)
class ClipLabel:
    """Where a clip belongs, told by its file name; no part contains an underscore but ``name``."""

    set_name: str
    subject: str
    action: str
    style: str
    clip_id: str
    name: str


@dataclass(frozen=True)
class RawClip:
    """The bytes of one recording, and those of its skeleton where that is a file of its own."""

    file: str
    label: ClipLabel
    data: bytes
    skeleton_file: str = ''
    skeleton: bytes = b''

    def sha256(self) -> str:
        return hashlib.sha256(self.data + self.skeleton).hexdigest()

    def parse(self) -> MocapClip:
        """The recorded motion; DataError for whatever is malformed."""
        if self.skeleton:
            return parse_amc(self.data, parse_asf(self.skeleton, self.skeleton_file), self.file, _CMU_FPS)
        bvh = parse_bvh(self.data, self.file)
        return bvh_to_clip(bvh, find_source([joint.name for joint in bvh.joints], self.file).metres_per_unit)


def label_of(file: str) -> ClipLabel:
    """Set, subject, action and style from a file name; DataError when it follows no known pattern."""
    stem = PurePosixPath(file).stem
    if found := _BANDAI_NAME.fullmatch(stem):
        number, action, style, clip_id = found.groups()
        return ClipLabel(f'bandai{number}', f'bandai{number}', action, style, clip_id, stem)
    if found := _CMU_NAME.fullmatch(stem):
        subject, trial = found.groups()
        return ClipLabel('cmu', f'cmu{subject}', f'trial-{trial}', f'subject-{subject}', trial, stem)
    raise DataError(file, 'file name', repr(stem), 'dataset-<1|2>_<content>_<style>_<id> or <subject>_<trial>',
                    'The name tells the set, the action and the style.')


def iterate_clips(source: Path, wanted: tuple[str, ...], advance: Callable[[int], None],
                  ) -> Iterator[RawClip | DataError]:
    """Clips of one archive or folder in its own order; a file that cannot be a clip is yielded as its error.

    Args:
        source: A tar archive, or a folder (its own files, not those of sub-folders).
        wanted: Sets to read; files of other sets are passed over.
        advance: Called with the number of bytes of ``source`` read so far.

    Raises:
        DataError: the archive cannot be read.
    """
    skeletons: dict[str, tuple[str, bytes]] = {}  # by folder
    waiting: list[tuple[str, ClipLabel, bytes]] = []  # AMC files that came before their ASF

    def amc_clip(name: str, label: ClipLabel, data: bytes) -> RawClip | DataError:
        folder = str(PurePosixPath(name).parent)
        if folder not in skeletons:
            return DataError(name, 'skeleton', 'no .asf file in its folder', 'the .asf file of the same subject')
        return RawClip(name, label, data, *skeletons[folder])

    for name, data in _motion_files(source, advance):
        suffix = PurePosixPath(name).suffix.lower()
        if suffix == '.asf':
            skeletons[str(PurePosixPath(name).parent)] = (name, data)
        elif suffix in _MOTION_SUFFIXES:
            try:
                label = label_of(name)
            except DataError as error:
                yield error
                continue
            if label.set_name not in wanted:
                continue
            if suffix == '.bvh':
                yield RawClip(name, label, data)
            elif str(PurePosixPath(name).parent) in skeletons:
                yield amc_clip(name, label, data)
            else:
                waiting.append((name, label, data))
    for entry in waiting:
        yield amc_clip(*entry)


def find_sources(root: Path) -> list[Path]:
    """Archives and folders with motion files at or below ``root``, largest first; DataError when there is none."""
    if not root.exists():
        raise DataError(root, 'path', 'nothing', 'a folder with archives or motion files, or one archive')
    if root.is_file():
        return [root]
    files = [path for path in sorted(root.rglob('*')) if path.is_file()]
    archives = [path for path in files if path.name.endswith(ARCHIVE_SUFFIXES)]
    folders = sorted({path.parent for path in files if path.suffix.lower() in _MOTION_SUFFIXES})
    if not archives and not folders:
        raise DataError(root, 'content', f'{len(files)} files, none of them motion',
                        f'{", ".join(ARCHIVE_SUFFIXES)} archives, or .bvh, .asf and .amc files')
    return sorted([*archives, *folders], key=lambda path: (-source_size(path), str(path)))


def source_size(source: Path) -> int:
    """Bytes of an archive, or of a folder's own files."""
    return source.stat().st_size if source.is_file() else sum(path.stat().st_size for path in _own_files(source))


def source_sha256(source: Path) -> str:
    """Hash of an archive, or of the names and contents of a folder's own files."""
    if source.is_file():
        with source.open('rb') as file:
            return hashlib.file_digest(file, 'sha256').hexdigest()
    digest = hashlib.sha256()
    for path in _own_files(source):
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _own_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def _motion_files(source: Path, advance: Callable[[int], None]) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the motion and skeleton files of an archive or folder."""
    suffixes = (*_MOTION_SUFFIXES, '.asf')
    if source.is_dir():
        done = 0
        for path in _own_files(source):
            if path.suffix.lower() in suffixes:
                yield f'{source.name}/{path.name}', path.read_bytes()
            done += path.stat().st_size
            advance(done)
        return
    try:
        with source.open('rb') as file, tarfile.open(fileobj=file, mode='r:*') as archive:
            for member in archive:
                if member.isfile() and PurePosixPath(member.name).suffix.lower() in suffixes:
                    yield member.name, archive.extractfile(member).read()
                advance(file.tell())
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError) as error:
        raise DataError(source, 'archive', f'{type(error).__name__}: {error}', 'a complete tar archive',
                        'Check its size and SHA-256 and copy it again.') from None
