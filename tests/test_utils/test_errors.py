import pickle

from motionlab.utils import DataError


def test_data_error_says_where_what_and_what_to_do():
    error = DataError('clip.bvh', 'line 7', "'Xrotatio'", 'a channel name', 'Correct the header.')
    assert str(error) == "clip.bvh: line 7: found 'Xrotatio', expected a channel name. Correct the header."


def test_data_error_survives_the_way_back_from_a_worker():
    error = pickle.loads(pickle.dumps(DataError('clip.bvh', 'frames', 3, 4)))
    assert (error.file, error.field, error.found, error.expected) == ('clip.bvh', 'frames', 3, 4)
    assert str(error) == 'clip.bvh: frames: found 3, expected 4.'
