# VideoPose3D's temporal convolutions on AugLift inputs; 27 frames, published width.
model = dict(
    type='PoseLifter',
    data_preprocessor=dict(type='BatchPreprocessor'),
    codec=dict(type='ImagePoseLifting', use_confidence=True, use_depth=True),
    backbone=dict(type='TCN', kernel_sizes=(3, 3, 3), channels=1024, dropout=0.25),
    head=dict(type='PoseRegressionHead', loss=dict(type='MPJPELoss')),
    flip_prob=0.5,
    test_flip=True)
