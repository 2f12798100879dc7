_base_ = ['./auglift_poseformer-27frm-w8-d2_1xb32-4k_bandai2-xycd.py']

model = dict(codec=dict(use_confidence=False, use_depth=False))
