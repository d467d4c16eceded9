"""Connects the pipeline with the history and the alerts, so that `dispatch` imports neither."""
