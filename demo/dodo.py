"""The monthly report, with doit. It knows nothing of autotask."""

from __future__ import annotations

from typing import Any

DOIT_CONFIG = {"verbosity": 2}


def task_figures() -> dict[str, Any]:
    return {
        "actions": ["sleep 0.2; echo 42 > figures.csv"],
        "file_dep": ["shop.py"],
        "targets": ["figures.csv"],
    }


def task_chart() -> dict[str, Any]:
    return {"actions": ["grep -c 43 figures.csv"], "file_dep": ["figures.csv"]}
