"""Evaluation: ``functional`` holds pure functions, ``metrics`` puts them into the evaluation loop."""
