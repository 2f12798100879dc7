"""Formulas of layout scores, by hand."""

import numpy as np
import pytest

from motionlab.evaluation.functional.layout import (
    best_ious,
    box_iou,
    grounding_scores,
    identity_scores,
    mask_iou,
)


def test_overlap_of_boxes():
    others = [[0, 0, 0.5, 0.5], [0.25, 0, 0.75, 0.5], [0.3, 0.3, 0.3, 0.3]]
    found = box_iou([[0, 0, 0.5, 0.5], [0.9, 0.9, 1, 1]], others)
    assert found == pytest.approx(np.array([[1, 1 / 3, 0], [0, 0, 0]]))
    assert box_iou(np.zeros((0, 4)), [[0, 0, 1, 1]]).shape == (0, 1)
    assert box_iou([[0.5, 0.5, 0.5, 0.5]], [[0.5, 0.5, 0.5, 0.5]]) == 0


def test_overlap_of_masks():
    mask = np.arange(4) < 2
    assert mask_iou(mask, np.arange(4) < 3) == pytest.approx(2 / 3)
    assert mask_iou(mask & False, mask & False) == 1


def test_layout_grounding_score():
    found = {'dog': np.array([[0, 0, 0.4, 0.4], [0, 0, 0.5, 0.4]]), 'cat': np.array([[0.8, 0.8, 1, 1]]),
             'cow': np.zeros((0, 4))}
    boxes = [[0, 0, 0.5, 0.5], [0, 0, 1, 1], [0, 0, 1, 1]]
    ious = best_ious(np.zeros((8, 8, 3), np.uint8), boxes, ['dog', 'cat', 'cow'], lambda _, name: found[name])
    assert ious == pytest.approx([0.8, 0.04, 0])
    assert grounding_scores(ious) == pytest.approx([0.8, 0, 0])
    assert grounding_scores(np.array([0.5, 0.499, 1]), np.array([True, True, False])) == pytest.approx([0.5, 0, 0])


def test_identity_is_the_best_cosine_times_100():
    references = np.array([[1.0, 0], [0, 2]])
    found = identity_scores(references, [np.array([[0, 1.0], [3, 3]]), np.zeros((0, 2))])
    assert found == pytest.approx([100 / np.sqrt(2), 0])


def test_lists_of_another_length_are_refused():
    with pytest.raises(ValueError, match='zip'):
        best_ious(np.zeros((8, 8, 3), np.uint8), np.zeros((2, 4)), ['one'], lambda *_: np.zeros((0, 4)))
    with pytest.raises(ValueError, match='zip'):
        identity_scores(np.ones((2, 3)), [np.ones((1, 3))])
