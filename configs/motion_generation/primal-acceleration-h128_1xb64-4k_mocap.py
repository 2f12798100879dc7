# The acceleration variant with equal settings.
_base_ = ['./primal-velocity-h128_1xb64-4k_mocap.py']

model = dict(codec=dict(order=2))
