"""What the tests of Django and of what is built on it have in common: a project to run."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

from support import write

MANAGE = """
import os, sys
from django.core.management import execute_from_command_line
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_settings")
if __name__ == "__main__":
    execute_from_command_line(sys.argv)
"""
SETTINGS = """
SECRET_KEY = "secret"
DEBUG = True
USE_TZ = True
INSTALLED_APPS = ["django.contrib.sessions", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.sqlite3"}}
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
ROOT_URLCONF = "shop"
urlpatterns = []
"""
_IMPORTS = """
import asyncio, os, signal, sys, threading
from django.core.management import CommandError, call_command
from django.core.management.base import BaseCommand, LabelCommand
"""
_CLASS = """
class Command(BaseCommand):
    requires_system_checks = []
"""


def make_project(folder: Path, commands: Mapping[str, str], settings: str = "") -> Path:
    """Write a project with an app `shop` and its commands.

    A command is a whole module, the methods of its class, or the body of its `handle`.
    """
    write(folder / "manage.py", MANAGE)
    write(folder / "site_settings.py", SETTINGS + textwrap.dedent(settings))
    for package in ("shop", "shop/management", "shop/management/commands"):
        write(folder / package / "__init__.py", "urlpatterns = []\n")
    for name, source in commands.items():
        write(folder / "shop" / "management" / "commands" / f"{name}.py", _module(source))
    return folder


def _module(source: str) -> str:
    body = textwrap.dedent(source).strip("\n")
    if "Command(LabelCommand)" in body:
        return _IMPORTS + body
    if body.startswith(("import", "from", "1 /")) and "\n" not in body:
        return body
    if "def handle" not in body:
        body = "def handle(self, *args, **options):\n" + textwrap.indent(body, "    ")
    return _IMPORTS + _CLASS + textwrap.indent(body, "    ")
