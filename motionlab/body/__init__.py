"""Skeletons, rotations, kinematics, cameras: the maths of bodies, without any registry but BODY_MODELS."""

from motionlab.body.body_file import BodyDescription
from motionlab.body.body_loading import load_body
from motionlab.body.body_model import BodyModel, BodyOutput
from motionlab.body.body_only import BodyOnly
from motionlab.body.cameras import (
    Camera,
    camera_to_world,
    in_image,
    invert_extrinsics,
    project,
    undistort,
    world_to_camera,
)
from motionlab.body.kinematics import (
    amass_motion_joints,
    forward_kinematics,
    global_to_local,
    local_to_global,
    smplx22_to_h36m17,
)
from motionlab.body.markers import Markers
from motionlab.body.rotations import (
    geodesic_angle,
    rot6d_columns_to_rotmat,
    rot6d_rows_to_rotmat,
    rotmat_to_rot6d_columns,
    rotmat_to_rot6d_rows,
    rotmat_to_rotvec,
    rotvec_to_rotmat,
)
from motionlab.body.skeletons import (
    COCO_17,
    H36M_17,
    MPI_INF_3DHP_17,
    SMPL_24,
    SMPLH_52,
    SMPLX_22,
    SMPLX_55,
    Skeleton,
    coco_to_h36m,
    h36m_joints_of,
    to_h36m,
)
from motionlab.body.stand_in import write_stand_in_body, write_stand_in_dmpl
from motionlab.body.up_axis import points_to_y_up, rotate_motion, y_up_to_z_up, z_up_to_y_up

__all__ = ['COCO_17', 'H36M_17', 'MPI_INF_3DHP_17', 'SMPLH_52', 'SMPLX_22', 'SMPLX_55', 'SMPL_24', 'BodyDescription',
           'BodyModel', 'BodyOnly', 'BodyOutput', 'Camera', 'Markers', 'Skeleton', 'amass_motion_joints',
           'camera_to_world', 'coco_to_h36m', 'forward_kinematics', 'geodesic_angle', 'global_to_local',
           'h36m_joints_of', 'in_image', 'invert_extrinsics', 'load_body', 'local_to_global', 'points_to_y_up',
           'project', 'rot6d_columns_to_rotmat', 'rot6d_rows_to_rotmat', 'rotate_motion', 'rotmat_to_rot6d_columns',
           'rotmat_to_rot6d_rows', 'rotmat_to_rotvec', 'rotvec_to_rotmat', 'smplx22_to_h36m17', 'to_h36m', 'undistort',
           'world_to_camera', 'write_stand_in_body', 'write_stand_in_dmpl', 'y_up_to_z_up', 'z_up_to_y_up']
