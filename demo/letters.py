"""Letters to customers, with Typer. It knows nothing of autotask."""

from __future__ import annotations

import time

import typer

app = typer.Typer()


@app.command()
def invoices() -> None:
    """Send the invoices."""
    time.sleep(0.3)
    print("12 invoices sent")


@app.command()
def reminders() -> None:
    """Remind those who did not pay."""
    print("the mail server is full, try again later")
    raise typer.Exit(75)


if __name__ == "__main__":
    app()
