"""The arrays of an AMASS-style motion file that we write ourselves."""

from collections.abc import Mapping

import numpy as np

_WIDTHS = {'smplx': 165, 'smplh': 156, 'smpl': 72}
_OTHER_PARTS = {'smplx': {'pose_jaw': 3, 'pose_eye': 6, 'pose_hand': 90}, 'smplh': {'pose_hand': 90},
                'smpl': {'pose_hand': 6}}


def amass_arrays(root_orient: np.ndarray, pose_body: np.ndarray, trans: np.ndarray, betas: np.ndarray,
                 body: Mapping[str, str], up_axis: str, fps: float) -> dict[str, np.ndarray]:
    """Keys of AMASS's SMPL-X files, which viewers and our own readers take, for a body with still hands and face.

    Args:
        root_orient: (N, 3) axis-angle, radians.
        pose_body: (N, 63) axis-angle, radians.
        trans: (N, 3) metres.
        betas: (nb,)
        body: ``family`` (``smplx``, the default, ``smplh`` or ``smpl``), ``gender`` and ``version``, where known.
        up_axis: ``'y'`` or ``'z'``, of root and translation.
        fps: Frames per second.

    Returns:
        ``poses`` (N, 165) (156 for SMPL-H, 72 for SMPL), its parts ``root_orient``, ``pose_body``, ..., ``trans``,
        ``betas``, ``num_betas``, ``gender``, ``surface_model_type``, ``mocap_frame_rate``, ``mocap_time_length`` (s),
        ``up_axis``, ``units``, and ``surface_model_version`` where known.
    """
    family, rows = body.get('family', 'smplx'), len(pose_body)
    zeros = np.zeros((rows, _WIDTHS[family]), np.float32)
    parts = {'root_orient': root_orient, 'pose_body': pose_body,
             **{name: zeros[:, :width] for name, width in _OTHER_PARTS[family].items()}}
    arrays = {
        'poses': np.concatenate(list(parts.values()), axis=1), **parts, 'trans': trans, 'betas': betas,
        'num_betas': np.int64(betas.shape[-1]), 'gender': body.get('gender', 'neutral'), 'surface_model_type': family,
        'mocap_frame_rate': np.float64(fps), 'mocap_time_length': np.float64(rows / fps), 'up_axis': up_axis,
        'units': 'metres, radians, seconds'}
    if 'version' in body:
        arrays['surface_model_version'] = body['version']
    return {name: np.asarray(value) for name, value in arrays.items()}
