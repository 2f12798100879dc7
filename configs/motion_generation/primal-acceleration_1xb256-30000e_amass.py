# The acceleration variant with equal settings.
_base_ = ['./primal-velocity_1xb256-30000e_amass.py']

model = dict(codec=dict(order=2))
