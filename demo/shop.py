"""A shop's command line, with Click. It knows nothing of autotask."""

from __future__ import annotations

import time

import click


@click.group()
def shop() -> None:
    """Keep a small shop."""


@shop.group()
def orders() -> None:
    """What customers want."""


@orders.command()
def fetch() -> None:
    """Fetch new orders."""
    time.sleep(0.4)
    click.echo("17 orders fetched")


@orders.command()
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]))
def ship(day: object) -> None:
    """Ship what was ordered."""
    time.sleep(0.2)
    stock = {"teapot": 3}
    click.echo(f"{stock['kettle']} kettles shipped, {day}")


if __name__ == "__main__":
    shop()
