"""From a body file to a :class:`~motionlab.body.body_model.BodyModel`."""

import logging
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import print_log

from motionlab.body.body_file import read_body_file
from motionlab.body.body_model import BodyColumns, BodyModel
from motionlab.registry import BODY_MODELS
from motionlab.utils import DataError


@BODY_MODELS.register_module(name=['BodyModel', 'load_body'])
def load_body(path: str | Path, *, num_betas: int | None = None, num_expressions: int | None = None,
              num_shape_columns: int | None = None, dmpl_path: str | Path | None = None, num_dmpls: int = 8,
              flat_hand_mean: bool = True, gender: str | None = None, version: str | None = None,
              dtype: torch.dtype = torch.float32) -> BodyModel:
    """Load an SMPL, SMPL-H or SMPL-X body from an ``.npz`` file; the family is told by its joints and columns.

    Args:
        path: The body file.
        num_betas: Shape columns to use; None for 16, or all where the file has fewer.
        num_expressions: Expression columns to use; None for 10, or all where the file has fewer.
        num_shape_columns: How many columns of ``shapedirs`` are shape; needed only for column counts other than 20
            (10 + 10 expressions), 400 (300 + 100), 10, 16 and 300.
        dmpl_path: DMPL file with soft-tissue columns (SMPL, SMPL-H).
        num_dmpls: Columns of it to use.
        flat_hand_mean: Whether zero fingers are flat (AMASS, VPoser). If not, the mean hand pose of the file is added
            to ``pose_hand`` given as axis-angle, and stands in where none is given; matrices are taken as they are.
        gender: To be told where neither file nor path tells.
        version: Version tag; None to take it from what path, columns and keys tell.
        dtype: Of the body and all it computes; joint regression is done in float64 before.

    Raises:
        DataError: The file is absent, damaged or pickled; a key is missing; a shape, dtype or value is not what the
            format promises; weights do not sum to 1; parents do not precede their children; more columns are asked for
            than there are of that kind; the mean hands are asked for and absent; the gender contradicts the path.
    """
    arrays = read_body_file(path, num_betas=num_betas, num_expressions=num_expressions,
                            num_shape_columns=num_shape_columns, dmpl_path=dmpl_path, num_dmpls=num_dmpls,
                            gender=gender, version=version)
    hand_mean = None
    if not flat_hand_mean:
        if arrays.hand_means is None:
            raise DataError(path, 'hands_meanl, hands_meanr', 'no such keys',
                            'two arrays (45,), for flat_hand_mean=False',
                            'SMPL has no fingers, and one layout of the locked-head files lacks the keys.')
        hand_mean = arrays.hand_means.reshape(-1)  # (90,)
    regressor = arrays.joint_regressor.astype(np.float64)
    blend_shapes = arrays.blend_shapes.astype(np.float64)
    tensors = {'v_template': arrays.v_template, 'blend_shapes': arrays.blend_shapes, 'posedirs': arrays.posedirs,
               'weights': arrays.weights, 'joint_template': regressor @ arrays.v_template.astype(np.float64),
               'joint_shapes': np.tensordot(regressor, blend_shapes, axes=1), 'hand_mean': hand_mean}
    tensors = {name: None if array is None else torch.tensor(array, dtype=dtype) for name, array in tensors.items()}
    tensors['faces'] = torch.tensor(arrays.faces)
    columns = BodyColumns(arrays.num_betas, arrays.num_expressions, arrays.num_dmpls)
    print_log(f'Body: {arrays.description}', 'current', logging.INFO)
    return BodyModel(arrays.description, arrays.parents, columns, tensors)
