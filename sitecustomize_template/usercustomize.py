# Starts autotask if a sitecustomize that comes first on the path does not run ours: OpenTelemetry's
# and Elastic's do not. If ours has run, this folder is off the path before Python looks for a
# usercustomize; in most virtual environments it never looks for one.
with open(__file__.rpartition("/")[0] + "/sitecustomize.py") as __ours:
    exec(compile(__ours.read(), __ours.name, "exec"))  # noqa: S102
