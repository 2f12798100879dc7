"""Skeletons, rotations, kinematics, cameras: the maths of bodies, without any registry but BODY_MODELS."""

from motionlab.body.skeletons import COCO_17, H36M_17, SMPLX_22, Skeleton, coco_to_h36m

__all__ = ['COCO_17', 'H36M_17', 'SMPLX_22', 'Skeleton', 'coco_to_h36m']
