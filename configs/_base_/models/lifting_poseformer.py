# AugLift's PoseFormer; 27 frames, width 32 (what num_frames below 81 gives).
model = dict(
    type='PoseLifter',
    data_preprocessor=dict(type='BatchPreprocessor'),
    codec=dict(type='ImagePoseLifting', use_confidence=True, use_depth=True),
    backbone=dict(type='PoseFormer', num_frames=27),
    head=dict(type='PoseRegressionHead', loss=dict(type='MPJPELoss')),
    flip_prob=0.5,
    test_flip=True)
