# Starts autotask where a sitecustomize that stands first on the path has not run ours, as with
# OpenTelemetry's and Elastic's. Where ours has run, this folder is off the path before Python looks
# for a usercustomize; in most virtual environments it never looks for one.
with open(__file__.rpartition("/")[0] + "/sitecustomize.py") as __ours:
    exec(compile(__ours.read(), __ours.name, "exec"))  # noqa: S102
