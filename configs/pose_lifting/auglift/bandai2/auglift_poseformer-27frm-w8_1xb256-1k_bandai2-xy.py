_base_ = ['./auglift_poseformer-27frm-w8_1xb256-1k_bandai2-xycd.py']

model = dict(codec=dict(use_confidence=False, use_depth=False))
