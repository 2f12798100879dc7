import pytest

from motionlab.body import load_body
from motionlab.codecs import motion_source
from motionlab.codecs.motion_encoding import MotionEncoding
from motionlab.codecs.motion_source import check_motion_source
from motionlab.utils import ConfigError


def test_rates_must_agree_and_need_no_body():
    check_motion_source(MotionEncoding(), 'a.npz', 30)
    with pytest.raises(ConfigError, match=r'a\.npz: found 29\.97 frames per second and a codec of 30'):
        check_motion_source(MotionEncoding(), 'a.npz', 29.97)
    with pytest.raises(ConfigError, match='there is none'):  # Bodies can only be compared with one.
        check_motion_source(MotionEncoding(), 'a.npz', 30, ['smplx neutral (0123456789ab)'])


def test_bodies_are_compared_by_family_and_content(small_body_file, monkeypatch):
    said = []
    monkeypatch.setattr(motion_source, 'print_log', lambda text, *_: said.append(text))
    codec = MotionEncoding(body=load_body(small_body_file, num_betas=16))
    own = str(codec.body.description)
    renamed = own.replace(small_body_file.name, 'OTHER_NAME.npz')
    for bodies in ((), [own], [renamed], ['smplh male v: X.npz (0123456789ab)', own]):
        check_motion_source(codec, 'a.npz', 30, bodies)
    assert said == []
    check_motion_source(codec, 'a.npz', 30, [own[:-14] + '(0123456789ab)'])
    assert len(said) == 1 and 'prepared with smplx' in said[0] and own in said[0]
    with pytest.raises(ConfigError, match='same family'):
        check_motion_source(codec, 'a.npz', 30, ['smplh male v: X.npz (0123456789ab)'])
