_base_ = ['./auglift_poseformer-27frm_1xb256-130e_h36m-xycd.py']

model = dict(codec=dict(use_depth=False))
