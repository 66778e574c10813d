"""An application that knows nothing about autotask."""

import click


@click.group()
def nightly() -> None:
    """The night's work."""


@nightly.command()
def clean() -> None:
    """Remove what is old."""
    click.echo("12 files removed")


@nightly.command()
def report() -> None:
    """Write the day's report."""
    sales = {"kettle": 12}
    click.echo(f"{sales['teapot']} teapots sold")


if __name__ == "__main__":
    nightly()
