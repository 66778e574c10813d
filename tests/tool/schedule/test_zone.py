"""The name of this machine's time zone: one that agrees with its clock, from any source."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from zoneinfo import TZPATH

import pytest

from autotask.tool.datadog import config
from autotask.tool.schedule import zone
from autotask.tool.schedule.places import Places

BERLIN = next((path for path in (Path(p, "Europe/Berlin") for p in TZPATH) if path.exists()), None)


TZ = [
    ("Europe/Berlin", "Europe/Berlin"),
    (":Europe/Berlin", "Europe/Berlin"),
    ("Asia/Kathmandu", "Asia/Kathmandu"),
    ("Australia/Lord_Howe", "Australia/Lord_Howe"),
    ("UTC", "UTC"),
    ("Etc/UTC", "UTC"),
    ("UTC0", "UTC"),
    ("Nowhere/Land", "UTC"),  # so the C library takes it
    ("ABC-5:07", None),  # rules that no zone has
]


@pytest.mark.parametrize(("said", "name"), TZ)
def test_tz_is_used_if_the_clock_agrees(
    said: str, name: str | None, set_zone: Callable[[str], None]
) -> None:
    set_zone(said)
    assert zone.of_this_machine() == name


@pytest.mark.skipif(BERLIN is None, reason="no tz database in files")
@pytest.mark.parametrize("form", ["{link}", ":{link}", ":{file}"])
def test_a_link_into_the_tz_database_has_the_name(
    tmp_path: Path, set_zone: Callable[[str], None], form: str
) -> None:
    link = tmp_path / "localtime"
    link.symlink_to(str(BERLIN))
    set_zone(form.format(link=link, file=BERLIN))
    assert zone.of_this_machine() == "Europe/Berlin"


# The contents of the two files: a copy or a link of a zone, and a name.
FILES = [  # the copy lies where the image's link leads to, as a container's mount of it does
    ("a copy and its name", "Europe/Berlin", "Europe/Berlin\n", "Europe/Berlin"),
    ("a copy and another name", "Europe/Berlin", "Asia/Tokyo\n", "None"),
    ("a copy and no name", "Europe/Berlin", "", "None"),
    ("a copy and what is no text", "Europe/Berlin", "\udcff\n", "None"),
    ("UTC under any name", "UTC", "Asia/Tokyo\n", "UTC"),
]
_ASK = """
import sys, ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for source, target in zip(sys.argv[1::2], sys.argv[2::2]):
    if libc.mount(os.fsencode(source), os.fsencode(target), None, 4096, None):  # MS_BIND
        sys.exit(77)
import time
time.tzset()
from autotask.tool.schedule import zone
print(zone.of_this_machine())
"""


@pytest.mark.skipif(BERLIN is None, reason="no tz database in files")
@pytest.mark.skipif(not shutil.which("unshare"), reason="no mount namespaces")
def test_without_tz_the_clock_decides_between_the_two_files(tmp_path: Path) -> None:
    places = [os.path.realpath("/etc/localtime"), "/etc/timezone"]
    if not all(map(os.path.isfile, places)):
        pytest.skip("no two files to mount over")
    for number, (told, content, text, name) in enumerate(FILES):
        assert BERLIN is not None
        copy, written = tmp_path / f"localtime{number}", tmp_path / f"timezone{number}"
        shutil.copy(BERLIN.parent.parent / content, copy)
        written.write_text(text, errors="surrogateescape")
        words = [str(copy), places[0], str(written), places[1]]
        command = ["unshare", "--map-root-user", "--mount", sys.executable, "-c", _ASK, *words]
        env = {key: value for key, value in os.environ.items() if key != "TZ"}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if done.returncode == 77 or "unshare" in done.stderr:
            pytest.skip("no mounts for us")
        assert (told, done.stdout, done.stderr) == (told, f"{name}\n", "")


def make_machine(root: Path, tz: str | None) -> Places:
    """Make a machine in Berlin, whose cron has a TZ if that is not None."""
    (root / "etc").mkdir()
    (root / "etc/localtime").symlink_to(str(BERLIN))
    cron = root / "proc/20"
    cron.mkdir(parents=True)
    (cron / "comm").write_text("cron\n")
    (cron / "environ").write_text("HOME=/\0" if tz is None else f"HOME=/\0TZ={tz}\0")
    return Places(str(root))


@pytest.mark.skipif(BERLIN is None, reason="no tz database in files")
@pytest.mark.parametrize(
    ("tz", "name"), [*TZ, (None, "Europe/Berlin"), ("", "UTC"), ("Asia/Tokyo", "Asia/Tokyo")]
)
def test_the_zone_of_cron_does_not_depend_on_who_asks(
    tmp_path: Path, set_zone: Callable[[str], None], tz: str | None, name: str | None
) -> None:
    set_zone("Asia/Tokyo")
    places = make_machine(tmp_path, tz)
    assert zone.of_cron(places) == name
    assert zone.of_localtime(places) == "Europe/Berlin"
    assert (os.environ["TZ"], time.localtime().tm_gmtoff) == ("Asia/Tokyo", 9 * 3600)
    assert zone.of_this_machine() == "Asia/Tokyo"


@pytest.mark.skipif(BERLIN is None, reason="no tz database in files")
def test_a_process_without_tz_has_none_after_asking(
    tmp_path: Path, set_zone: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_zone("Asia/Tokyo")
    monkeypatch.delenv("TZ")
    time.tzset()
    before = time.localtime(0)
    assert zone.of_cron(make_machine(tmp_path, "Asia/Tokyo")) == "Asia/Tokyo"
    assert ("TZ" in os.environ, time.localtime(0)) == (False, before)


def test_a_machine_without_localtime_has_the_zone_of_who_asks(
    tmp_path: Path, set_zone: Callable[[str], None]
) -> None:
    set_zone("Asia/Tokyo")
    assert zone.of_cron(Places(str(tmp_path))) == "Asia/Tokyo"


def test_a_schedule_without_a_timezone_is_in_this_processs_zone(
    set_zone: Callable[[str], None],
) -> None:
    set_zone("Europe/Berlin")
    found = (
        config.parse({"task": {"a": {"schedule": "@daily"}}}).settings_for("a").parsed_schedule()
    )
    assert found is not None
    assert found.timezone == "Europe/Berlin"
