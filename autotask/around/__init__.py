"""Beside or after a process: `autotask-run` and what closes dead runs; never in a task."""
