"""Truncated and mutated files: a valid, finite parse or a DataError, never anything else."""

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motionlab.datasets.mocap.amc import parse_amc
from motionlab.datasets.mocap.asf import parse_asf
from motionlab.datasets.mocap.bvh import bvh_to_clip, parse_bvh
from motionlab.datasets.mocap.smplx_conversion import clip_to_smplx
from motionlab.utils import DataError
from tests.test_datasets.mocap_samples import SMALL_BVH, cmu_asf, waving_bandai, waving_cmu

FUZZ = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
FILES = {'small': SMALL_BVH.encode(), 'bandai': waving_bandai(4).encode(), 'asf': cmu_asf().encode(),
         'amc': waving_cmu(4).encode()}
NASTY = [b'nan', b'-inf', b'1e400', b'1e30', b'', b'0', b'-1', b'1_0', b'0x1F', b'\xd9\xa3', b'\xc2\xb2', b'{', b'}',
         b'\n', b'\x00', b'\xff', b'JOINT', b'End Site', b'MOTION', b'begin', b'end', b':root', b'#', b'99999999999',
         b'1,5', b'"']


@st.composite
def damaged(draw, original: bytes) -> bytes:
    """``original`` cut off somewhere and with a few tokens, lines or bytes changed."""
    data = original
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(['cut', 'token', 'line', 'double', 'swap', 'byte']))
        if kind == 'cut':
            data = data[:draw(st.integers(0, len(data)))]
        elif kind == 'byte' and data:
            at = draw(st.integers(0, len(data) - 1))
            data = data[:at] + draw(st.binary(max_size=2)) + data[at + 1:]
        elif kind == 'token':
            pieces = data.split(b' ')
            at = draw(st.integers(0, len(pieces) - 1))
            pieces[at] = draw(st.sampled_from(NASTY))
            data = b' '.join(pieces)
        elif kind in ('line', 'double', 'swap'):
            lines = data.split(b'\n')
            at, other = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
            if kind == 'line':
                del lines[at]
            elif kind == 'double':
                lines.insert(other, lines[at])
            else:
                lines[at], lines[other] = lines[other], lines[at]
            data = b'\n'.join(lines)
    return data


def _valid_or_named(parse) -> None:
    try:
        clip = parse()
        positions, rotations = clip.global_pose()
        assert len(clip) > 0
        assert positions.isfinite().all()
        assert rotations.isfinite().all()
        motion = clip_to_smplx(clip)
        assert all(values.isfinite().all() for values in (motion.local_rotmats, motion.pelvis, motion.rest_joints))
    except DataError as error:
        assert 'damaged' in str(error)


@FUZZ
@given(damaged(FILES['small']))
def test_small_bvh(data):
    _valid_or_named(lambda: bvh_to_clip(parse_bvh(data, 'damaged.bvh'), 0.01))


@FUZZ
@given(damaged(FILES['bandai']))
def test_bandai_bvh(data):
    _valid_or_named(lambda: bvh_to_clip(parse_bvh(data, 'damaged.bvh'), 0.01))


@FUZZ
@given(damaged(FILES['asf']))
def test_asf(data):
    _valid_or_named(lambda: parse_amc(FILES['amc'], parse_asf(data, 'damaged.asf'), 'damaged.amc', 120.0))


@FUZZ
@given(damaged(FILES['amc']))
def test_amc(data):
    skeleton = parse_asf(FILES['asf'], 'whole.asf')
    _valid_or_named(lambda: parse_amc(data, skeleton, 'damaged.amc', 120.0))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200))
def test_rubbish(data):
    for parse in (parse_bvh, parse_asf, lambda text, file: parse_amc(text, parse_asf(FILES['asf'], 's'), file, 120.0)):
        try:
            parse(data, 'damaged')
        except DataError as error:
            assert 'damaged' in str(error)
        else:
            raise AssertionError('rubbish was accepted')


def test_the_undamaged_files_are_valid():
    skeleton = parse_asf(FILES['asf'], 'whole.asf')
    for clip in (bvh_to_clip(parse_bvh(FILES['bandai'], 'whole.bvh'), 0.01),
                 parse_amc(FILES['amc'], skeleton, 'whole.amc', 120.0)):
        assert torch.isfinite(clip_to_smplx(clip).local_rotmats).all()
