_base_ = [
    '../../../_base_/lifting_runtime.py',
    '../../../_base_/datasets/lifting_without_3dpw.py',
    '../../../_base_/models/lifting_poseformer.py',
    '../../../_base_/schedules/lifting_auglift_poseformer_130e.py',
]
