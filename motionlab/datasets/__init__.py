from motionlab.datasets import samplers as samplers
