"""Break the code in small ways, one at a time, and see whether a test fails: `make mutants`.

cosmic-ray has the operators. A sample of mutations is tried, each in a copy of the checkout with
its own environment. The tests of the module run there, in a process namespace if the machine
allows it: a mutation may send a signal to another process.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import queue
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
EQUIVALENT = Path(__file__).with_name("mutants_equivalent.json")
WANTED = 95  # per cent of the mutations that a test has to notice
_NOT_COPIED = shutil.ignore_patterns(".git", ".venv*", "build", "dist", "__pycache__", ".*_cache")
_NAMESPACE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
_INIT = ("sh", "-c", '"$@"; exit $?', "sh")  # process 1 has to wait for orphans
_NOTHING_RAN = 5  # pytest's status
_TIMEOUT = -1

OPERATORS = tuple(
    "AddNot ExceptionReplacer NumberReplacer RemoveDecorator ReplaceAndWithOr ReplaceOrWithAnd"
    " ReplaceBreakWithContinue ReplaceContinueWithBreak ReplaceTrueWithFalse ReplaceFalseWithTrue"
    " ReplaceBinaryOperator_Add_Sub ReplaceBinaryOperator_BitAnd_BitOr"
    " ReplaceBinaryOperator_BitOr_BitAnd ReplaceBinaryOperator_Div_Mul"
    " ReplaceBinaryOperator_FloorDiv_Mul ReplaceBinaryOperator_Mod_Add"
    " ReplaceBinaryOperator_Mul_Div ReplaceBinaryOperator_Sub_Add"
    " ReplaceComparisonOperator_Eq_NotEq ReplaceComparisonOperator_NotEq_Eq"
    " ReplaceComparisonOperator_Gt_GtE ReplaceComparisonOperator_Gt_LtE"
    " ReplaceComparisonOperator_GtE_Gt ReplaceComparisonOperator_GtE_Lt"
    " ReplaceComparisonOperator_Lt_LtE ReplaceComparisonOperator_Lt_GtE"
    " ReplaceComparisonOperator_LtE_Lt ReplaceComparisonOperator_LtE_Gt"
    " ReplaceComparisonOperator_Is_IsNot ReplaceComparisonOperator_IsNot_Is"
    " ReplaceUnaryOperator_Delete_Not ReplaceUnaryOperator_USub_UAdd ZeroIterationForLoop".split()
)
FLOORS = ("process", "around", "tool")
DELETE_CALL = "DeleteCall"  # our own: removes a call whose value is not used

# The tests that have to notice a mutation of a module, beside the file that is named after it.
MORE_TESTS = {
    "__init__": "test_bootstrap test_functions",
    "agent": "test_imports test_bootstrap test_plugins",
    "argparse_import": "frameworks/test_argparse",
    "boot_id": "around/test_process_one test_procfs",
    "debuglog": "test_guard test_hostile",
    "dogstatsd": "test_wire test_unsent test_properties",
    "exec_handover": "test_exit_hooks test_alarms",
    "exits": "test_exit_hooks test_endings frameworks/test_argparse",
    "exec_launchers": "test_process_run beside/test_starts",
    "failures": "test_truth",
    "frameworks/__init__": "test_guest test_tracebacks",
    "frameworks/cleo": "frameworks/test_other_command_lines",
    "frameworks/click_names": "frameworks/test_click",
    "frameworks/deaths": "frameworks/test_apscheduler frameworks/test_luigi",
    "frameworks/django": "frameworks/test_django_extensions",
    "frameworks/cliff": "frameworks/test_other_command_lines",
    "frameworks/cyclopts": "frameworks/test_other_command_lines",
    "frameworks/docopt": "frameworks/test_other_command_lines",
    "frameworks/fire": "frameworks/test_other_command_lines",
    "homes": "test_anywhere test_hostile test_alarms",
    "imports": "test_guest test_stdlib test_plugins",
    "journal": "test_hostile test_unsent around/test_closing test_alarms",
    "loading": "test_imports test_bootstrap test_guest",
    "marks": "test_procfs around/test_closing test_alarms",
    "messages": "test_failures test_wire test_properties around/test_output",
    "on_request": "test_functions test_plugins test_process_run",
    "patches": "test_exit_hooks test_crowds test_guest",
    "plugin": "test_plugins frameworks/test_procrastinate",
    "protocols": "test_unsent",
    "naming": "test_command_name test_process_run test_trees",
    "procfs": "test_trees test_alarms",
    "process_run": "test_exit_hooks test_bootstrap around/test_closing test_endings",
    "putenv": "test_trees test_exit_hooks test_process_run",
    "recorder": "test_trees test_guard test_unsent test_crowds test_functions"
    " frameworks/test_click test_truth",
    "rest": "frameworks/test_argparse frameworks/test_other_command_lines test_truth",
    "run": "test_failures test_functions around/test_launch test_truth",
    "settings": "test_plugins test_functions",
    "shell_line": "test_command_name",
    "stderr_journal": "around/test_launch",
    "telling": "test_unsent test_wire test_trees test_exit_hooks test_alarms",
    "trigger": "test_procfs around/test_process_one",
    "wrapper_commands": "test_command_name",
    "around/children": "test_queued frameworks/test_rq",
    "around/closing": "around/test_elsewhere around/test_signals around/test_time_limit",
    "around/execute": "around/test_launch",
    "around/failure_calls": "around/test_on_failure",
    "around/failure_lines": "around/test_on_failure",
    "around/failure_notes": "around/test_on_failure tool/commands/test_doctor_on_failure",
    "around/journal_lines": "tool/journal/test_index around/test_closing",
    "around/late_wire": "tool/commands/test_ship around/test_redeliver_few",
    "around/launch": "around/test_leads_to around/test_kept_out around/test_signals"
    " around/test_shell",
    "around/lock": "around/test_closing",
    "around/marks_left": "around/test_closing around/test_elsewhere tool/journal/test_index",
    "around/missed_lines": "tool/commands/test_ship around/test_redeliver_few",
    "around/patterns": "around/test_command_settings tool/datadog/test_config",
    "around/redeliver": "tool/commands/test_ship around/test_redeliver_few around/test_undelivered",
    "around/output": "around/test_output around/test_output_kept",
    "around/output_kept": "around/test_output",
    "around/output_pump": "around/test_output",
    "around/rubies": "around/test_leads_to around/test_kept_out tool/commands/test_doctor_ruby",
    "around/stand_in": "around/test_run_parts",
    "around/story": "around/test_closing around/test_oom around/test_signals",
    "around/supervise": "around/test_signals around/test_launch around/test_descriptors"
    " around/test_oom around/test_supervise_setting around/test_process_one around/test_closing"
    " around/test_time_limit around/test_overlap",
    "around/sweeping": "around/test_closing test_exit_hooks",
    "around/tail": "around/test_closing around/test_journal_lines test_exit_hooks"
    " around/test_time_limit",
    "around/undelivered": "tool/commands/test_ship test_unsent",
    "around/trusted": "around/test_command_settings test_homes",
    "around/units": "around/test_command_settings tool/test_quantities",
    "tool/commands/bundle": "test_bundle",
    "tool/commands/dashboard": "tool/datadog/test_commands tool/datadog/test_dashboard",
    "tool/commands/init_home": "test_homes test_anywhere",
    "tool/cron/check_crontabs": "tool/cron/test_check",
    "tool/commands/cron": "tool/cron/test_list tool/cron/test_watch",
    "tool/cron/door": "around/test_shell",
    "tool/cron/replacing": "tool/cron/test_run_script tool/cron/test_drop_in",
    "tool/commands/monitors": "tool/datadog/test_commands tool/datadog/test_monitors"
    " tool/datadog/test_other_machine",
    "tool/journal/retention": "tool/commands/test_prune",
    **dict.fromkeys(
        [f"tool/schedule/{name}" for name in ("anacron", "crontabs", "places", "recorded")],
        "tool/schedule/test_machine",
    ),
    "tool/expected": "tool/commands/test_tasks_due",
    "tool/limits": "tool/datadog/test_monitors tool/datadog/test_baselines",
    "tool/summaries": "tool/commands/test_tasks tool/commands/test_tasks_due",
    "tool/schedule/cron_line": "tool/schedule/test_daylight_saving",
    "tool/schedule/run_parts": "tool/schedule/test_machine",
    "tool/schedule/usual": "tool/commands/test_tasks_due tool/datadog/test_baselines",
    "tool/run_table": "tool/commands/test_runs tool/test_cli",
    **dict.fromkeys(
        [f"tool/notify/{name}" for name in ("mail", "services", "targets", "texts", "webhook")],
        "tool/commands/test_notify",
    ),
    **dict.fromkeys(
        [f"tool/top/{name}" for name in ("known", "screen", "view")], "tool/commands/test_top"
    ),
    "tool/table": "tool/commands/test_tasks tool/commands/test_runs",
    "tool/journal/asked_run": "tool/commands/test_show test_homes",
    "tool/journal/filters": "tool/commands/test_runs tool/commands/test_tasks",
    "tool/journal/layers": "tool/commands/test_runs",
    "tool/journal/trees": "tool/commands/test_runs",
}
# Any test of these folders may notice.
FOLDERS = {
    "tool/cron": "tool/cron",
    "tool/datadog": "tool/datadog",
    "tool/doctor": "tool/commands",
    "tool/journal": "tool/journal",
    "tool/report": "tool/report",
    "tool/top": "tool/commands",
    "tool/troubles": "tool/troubles",
    "tool": "tool",
}


@dataclass(frozen=True)
class Mutation:
    """One small change of one line of a module."""

    module: str  # its path below autotask/, without `.py`
    operator: str
    occurrence: int
    number: int  # of the line
    function: str
    line: str
    becomes: str = ""

    def __str__(self) -> str:
        place = f"autotask/{self.module}.py:{self.number} {self.function} ({self.operator})"
        return f"{place}\n    - {self.line}\n    + {self.becomes}"

    def is_listed(self, listed: Iterable[dict[str, str]]) -> bool:
        """Tell whether this is in the list of equivalent mutations."""
        own = (self.module, self.function, self.line, self.becomes)
        keys = ("module", "function", "line", "becomes")
        return any(own == tuple(entry[key] for key in keys) for entry in listed)


@dataclass(frozen=True)
class Verdict:
    """The result of a mutation: `killed`, `timeout` or `survived`, and the test that failed."""

    kind: str
    test: str = ""


# --- mutations -----------------------------------------------------------------------------------


def modules() -> list[str]:
    """Return all modules but the copy of wrapt, as paths below autotask/ without `.py`."""
    folder = ROOT / "autotask"
    paths = (path.relative_to(folder).with_suffix("") for path in folder.rglob("*.py"))
    return sorted(str(path) for path in paths if path.parts[0] != "wrapt")


def floor(module: str) -> str:
    folder = module.partition("/")[0]
    return folder if folder in FLOORS else "process"


def source_of(module: str) -> str:
    return (ROOT / "autotask" / f"{module}.py").read_text(encoding="utf-8")


def find(module: str) -> Iterator[Mutation]:
    """Find each place of a module where an operator can change something."""
    from cosmic_ray.ast import ast_nodes, get_ast

    source = source_of(module)
    lines, spans = source.splitlines(), functions(ast.parse(source))
    nodes = list(ast_nodes(get_ast(source)))
    for name in (*OPERATORS, DELETE_CALL):
        operator = _operator(name)
        places = (place for node in nodes for place in operator.mutation_positions(node))
        for occurrence, (begin, _) in enumerate(places):
            number = begin[0]
            function = max((span for span in spans if span[0] <= number <= span[1]), default=())
            yield Mutation(
                module,
                name,
                occurrence,
                number,
                function[2] if function else "",
                lines[number - 1].strip(),
            )


def functions(tree: ast.AST, above: str = "") -> list[tuple[int, int, str]]:
    """Return first line, last line and qualified name of each function."""
    found: list[tuple[int, int, str]] = []
    for child in ast.iter_child_nodes(tree):
        name = getattr(child, "name", "")
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            first = min([child.lineno, *(part.lineno for part in child.decorator_list)])
            found.append((first, child.end_lineno or first, above + name))
            found += functions(child, f"{above}{name}.")
        else:
            found += functions(child, above)
    return found


def _operator(name: str) -> Any:
    from cosmic_ray.plugins import get_operator

    return DeleteCall() if name == DELETE_CALL else get_operator(f"core/{name}")()


class DeleteCall:
    """An operator that replaces a call that is a statement by `pass`."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        if node.type == "simple_stmt" and node.children[0].type == "atom_expr":
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        from parso.python.tree import Keyword

        call = node.children[0]
        first = call.get_first_leaf()
        node.children[0] = Keyword("pass", first.start_pos, first.prefix)
        return node


def mutate(mutation: Mutation) -> tuple[Mutation, str] | None:
    """Return the source with a mutation, or None if that changes nothing or is not Python."""
    from cosmic_ray.mutating import mutate_code

    source = source_of(mutation.module)
    try:
        mutated = mutate_code(source, _operator(mutation.operator), mutation.occurrence)
        if mutated is None or _meaning(mutated) == _meaning(source):
            return None
    except (AttributeError, SyntaxError):  # an operator cannot handle `except function(...):`
        return None
    changed = [
        new.strip()
        for old, new in zip(source.splitlines(), mutated.splitlines())
        if old.strip() != new.strip()
    ]
    number = mutation.number
    shown = changed[0] if changed else mutated.splitlines()[number - 1].strip()
    parts = (mutation.module, mutation.operator, mutation.occurrence, number, mutation.function)
    return Mutation(*parts, mutation.line, shown), mutated


def _meaning(source: str) -> str:
    """Return what runs of a module: no annotations, and nothing for type checkers."""
    tree = ast.parse(re.sub("^TYPE_CHECKING = .*", "", source, flags=re.MULTILINE))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.test, node.body = ast.Constant(None), [ast.Pass()]
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
    return ast.dump(tree)


def sample(
    found: list[Mutation], count: int, chance: random.Random
) -> Iterator[tuple[Mutation, str]]:
    """Draw mutations that change something; each place of a module is equally likely."""
    places: dict[tuple[str, int, str], list[Mutation]] = {}
    for mutation in found:
        family = mutation.operator.rpartition("_")[0] or mutation.operator
        places.setdefault((mutation.module, mutation.number, family), []).append(mutation)
    keys = sorted(places)
    chance.shuffle(keys)
    for key in keys:
        made = mutate(chance.choice(places[key]))
        if made is not None:
            yield made
            count -= 1
        if count <= 0:
            return


# --- tests ---------------------------------------------------------------------------------------


def files_of(module: str) -> list[str]:
    """Return the files of tests that have to notice a mutation of a module, the nearest first."""
    folder, _, name = module.rpartition("/")
    own = f"{folder}/test_{name}" if folder else f"test_{name}"
    paths = [f"tests/{word}.py" for word in (own, *MORE_TESTS.get(module, "").split())]
    below = ROOT / "tests" / FOLDERS.get(folder, "nowhere")
    paths += sorted(str(path.relative_to(ROOT)) for path in below.glob("test_*.py"))
    return [path for path in dict.fromkeys(paths) if (ROOT / path).exists()]


class Tree:
    """A copy of the checkout, with an environment that has everything but the original."""

    def __init__(self, place: Path, python: Path) -> None:
        self.root = place / "autotask"
        shutil.copytree(ROOT, self.root, ignore=_NOT_COPIED, symlinks=True)
        environment = self.root / ".venv"
        words = [str(python), "-m", "venv", "--without-pip", str(environment)]
        subprocess.run(words, check=True)
        self._python = environment / "bin" / "python"
        (site,) = environment.glob("lib/*/site-packages")
        (original,) = python.parent.parent.glob("lib/*/site-packages")
        (site / "copy.pth").write_text(f"{self.root}\n{original}\n")
        for script in python.parent.iterdir():
            _copy_script(script, environment / "bin" / script.name, python.parent)
        self._cache = place / "cache"
        self._home = place / "home"
        self._home.mkdir()
        self._times = int(time.time()) - 1_000_000  # when a module was changed: never the same

    def put(self, module: str, source: str) -> None:
        """Write a module so that Python notices that its bytecode is outdated."""
        path = self.root / "autotask" / f"{module}.py"
        path.write_text(source, encoding="utf-8")
        self._times += 1
        os.utime(path, (self._times, self._times))

    def run(self, tests: str, limit: float, *options: str) -> tuple[int, list[str]]:
        """Run a file of tests, or one test; return pytest's status and what failed."""
        shutil.rmtree(self._cache, ignore_errors=True)
        words = [*_isolated(), str(self._python), "-m", "pytest", "-q", "-n", "0"]
        words += ["-o", f"cache_dir={self._cache}", *options, tests]
        pyenv = os.environ.get("PYENV_ROOT") or str(Path.home() / ".pyenv")
        env = {**os.environ, "HOME": str(self._home), "PYENV_ROOT": pyenv}
        env["TMPDIR"] = str(self._home)
        with subprocess.Popen(
            words, cwd=self.root, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                status = process.wait(limit)
            except subprocess.TimeoutExpired:
                process.kill()  # and with it everything in its namespace
                status = _TIMEOUT
        for left in self._home.iterdir():
            shutil.rmtree(left, ignore_errors=True)
        failed = self._cache / "v" / "cache" / "lastfailed"
        return status, sorted(json.loads(failed.read_text())) if failed.exists() else []


def _copy_script(script: Path, copy: Path, folder: Path) -> None:
    if copy.exists() or script.is_symlink() or not script.is_file() or script.stat().st_size > 1e6:
        return
    copy.write_bytes(script.read_bytes().replace(os.fsencode(folder), os.fsencode(copy.parent)))
    copy.chmod(0o755)


def _isolated() -> tuple[str, ...]:
    words = (*_NAMESPACE, *_INIT)
    if shutil.which("unshare") and subprocess.run([*words, "true"], check=False).returncode == 0:
        return words
    return ()


class Trial:
    """Copies of the checkout in which mutations are tried, each in one of them at a time."""

    def __init__(self, trees: Iterable[Tree], limit: float) -> None:
        self._trees: queue.Queue[Tree] = queue.Queue()
        for tree in trees:
            self._trees.put(tree)
        self._limit = limit
        self._passes: dict[
            str, bool
        ] = {}  # without a mutation: a test, or a whole file in its time

    def judge(self, mutation: Mutation, source: str) -> Verdict:
        """Run the tests of a module with a mutation of it, until one fails."""
        tree = self._trees.get()
        begin = time.monotonic()
        try:
            verdict = self._verdict(tree, mutation, source)
        finally:
            tree.put(mutation.module, source_of(mutation.module))
            self._trees.put(tree)
        seconds = time.monotonic() - begin
        print(f"{verdict.kind} in {seconds:.0f} s {verdict.test}\n  {mutation}", flush=True)
        return verdict

    def _verdict(self, tree: Tree, mutation: Mutation, source: str) -> Verdict:
        for tests in files_of(mutation.module):
            failed = tests
            while self._passes.get(failed, True):
                failing = [name for name, passes in self._passes.items() if not passes]
                left_out = [word for name in failing for word in ("--deselect", name)]
                tree.put(mutation.module, source)
                status, names = tree.run(tests, self._limit, "-x", *left_out)
                if status in (0, _NOTHING_RAN):
                    break
                failed = names[0] if names else tests
                tree.put(mutation.module, source_of(mutation.module))
                if self._passes_without(tree, failed):
                    return Verdict("timeout" if status == _TIMEOUT else "killed", failed)
        return Verdict("survived")

    def _passes_without(self, tree: Tree, test: str) -> bool:
        """Tell whether a test passes without a mutation, or a whole file in its time."""
        if test not in self._passes:
            self._passes[test] = tree.run(test, self._limit)[0] == 0
            if not self._passes[test]:
                print(f"left out, fails without a mutation: {test}", flush=True)
        return self._passes[test]


# --- the command ---------------------------------------------------------------------------------


def equivalent() -> list[dict[str, str]]:
    """Read the mutations that no test can notice: module, function, line, becomes, reason."""
    return list(json.loads(EQUIVALENT.read_text(encoding="utf-8")))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sample", type=int, default=20, metavar="N", help="how many mutations")
    parser.add_argument("--only", nargs="+", default=[""], help="begins of paths: around/closing")
    parser.add_argument("--floor", nargs="+", choices=FLOORS, default=FLOORS)
    parser.add_argument("--limit", type=float, default=600, help="seconds for a file of tests")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--list", action="store_true", help="show the sample, run nothing")
    args = parser.parse_args()
    chosen_modules = [
        module
        for module in modules()
        if floor(module) in args.floor and module.startswith(tuple(args.only))
    ]
    found = [mutation for module in chosen_modules for mutation in find(module)]
    drawn = list(sample(found, args.sample, random.Random(args.seed)))
    listed = equivalent()
    chosen = [pair for pair in drawn if not pair[0].is_listed(listed)]
    print(f"{len(chosen)} of {len(found)} mutations", end="; ", flush=True)
    print(f"{len(drawn) - len(chosen)} more are listed as equivalent", flush=True)
    if args.list:
        print(*(mutation for mutation, _ in chosen), sep="\n")
        return 0
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)  # some tests run as another user
        verdicts = _try_all(chosen, Path(place), args.jobs, args.limit)
    return _summary(chosen, verdicts)


def _try_all(
    chosen: list[tuple[Mutation, str]], place: Path, jobs: int, limit: float
) -> list[Verdict]:
    python = ROOT / ".venv" / "bin" / "python"
    trial = Trial([Tree(place / str(number), python) for number in range(jobs)], limit)
    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(lambda pair: trial.judge(*pair), chosen))


def _summary(chosen: list[tuple[Mutation, str]], verdicts: list[Verdict]) -> int:
    counts = {
        kind: sum(verdict.kind == kind for verdict in verdicts)
        for kind in ("killed", "timeout", "survived")
    }
    score = 100 * (len(verdicts) - counts["survived"]) / max(len(verdicts), 1)
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    print(f"\n{told}: {score:.1f} % noticed, {WANTED} % wanted")
    for (mutation, _), verdict in zip(chosen, verdicts):
        if verdict.kind == "survived":
            print(f"survived: {mutation}")
    return 0 if score >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
