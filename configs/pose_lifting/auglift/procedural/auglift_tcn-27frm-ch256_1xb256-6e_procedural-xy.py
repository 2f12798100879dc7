_base_ = ['./auglift_tcn-27frm-ch256_1xb256-6e_procedural-xycd.py']

model = dict(codec=dict(use_confidence=False, use_depth=False))
