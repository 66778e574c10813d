"""An application that knows nothing of autotask."""

import click


@click.group()
def nightly() -> None:
    """The night's work."""


@nightly.command()
def clean() -> None:
    """Remove what is old."""
    click.echo("12 files removed")


@nightly.command()
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]))
def report(day: object) -> None:
    """Write the day's report."""
    click.echo({}[day])


if __name__ == "__main__":
    nightly()
