_base_ = ['./auglift_tcn-27frm_1xb1024-80e_bandai2-xycd.py']

model = dict(codec=dict(use_confidence=False, use_depth=False))
