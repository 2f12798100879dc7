_base_ = ['./auglift_tcn-27frm-ch256_1xb256-2k_bandai2-xycd.py']

model = dict(codec=dict(use_depth=False))
