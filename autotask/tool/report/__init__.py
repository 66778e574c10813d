"""The report: what failed, what did not happen, and how the tasks do, as a page or as text."""
