_base_ = ['./auglift_tcn-27frm_1xb512-200e_h36m-xycd.py']

model = dict(codec=dict(use_confidence=False))
