"""`autotask bundle`: write a folder that starts the agent wherever PYTHONPATH and RUBYLIB name it.

    DIR/sitecustomize.py    the template, with _BUNDLED set
    DIR/usercustomize.py    runs it if another agent's sitecustomize comes first
    DIR/autotask.d/         the package, under a name that cannot be imported
    DIR/autotask.d/wrapt/   the modules of wrapt that autotask uses
    DIR/ruby/               the agent for Ruby

Only source, so that it works in each Python from 3.9 on.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import shlex
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import autotask
from autotask.around.launch import RUBY_FOLDER
from autotask.tool import output
from autotask.tool.errors import ToolError
from autotask.tool.quantities import size_text

DESCRIPTION = """\
Write the part of autotask that runs in a task's process, and nothing else, to a folder that can be
copied into an image or mounted read-only anywhere. PYTHONPATH=DIR turns it on in each Python from
3.9 on, RUBYLIB=DIR/ruby in each Ruby from 2.5 on; in older ones it does nothing."""

_PACKAGE = Path(autotask.__file__).resolve().parent
_TEMPLATE = _PACKAGE.parent / "sitecustomize_template"
_RUBY = _PACKAGE.parent / RUBY_FOLDER
_INSIDE = "autotask.d"
_INSIDE_RUBY = "ruby/autotask"
_NOT_IN_A_TASK = ("around", "tool")
# What sitecustomize starts for AUTOTASK_SUPERVISE, and what the recorder calls as a child dies.
_PARENTS = (_PACKAGE / "around" / "supervise.py", _PACKAGE / "around" / "children.py")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("folder", metavar="DIR", type=Path, help="the folder to write")
    parser.add_argument(
        "--force",
        action="store_true",
        help="replace an existing bundle",
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the bundle, and say how to turn it on."""
    folder: Path = arguments.folder.absolute()
    if folder.exists() and any(folder.iterdir()):
        # Even with --force: what this command has not written is never deleted.
        if not (folder / _INSIDE).is_dir() or _has_links(folder):
            raise ToolError(f"{folder} is not empty and not a bundle: choose another folder")
        if not arguments.force:
            raise ToolError(f"{folder} is already a bundle; use --force to replace it")
    files = dict(_files())
    _write(folder, files)
    print(f"{len(files)} files, {size_text(sum(map(len, files.values())))}; to turn it on, set:")
    for variable, path in (("PYTHONPATH", folder), ("RUBYLIB", folder / "ruby")):
        print(f"{variable}={output.clean(shlex.quote(str(path)))}")


def _has_links(folder: Path) -> bool:
    """Tell whether a folder that is to be written is a link to somewhere else."""
    written = (_INSIDE, "ruby", _INSIDE_RUBY, "ruby/rubygems", "ruby/rubygems/defaults")
    return any((folder / name).is_symlink() for name in written)


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """Write files that all users can read, whatever the umask is."""
    if not folder.exists():
        folder.mkdir(parents=True)
        folder.chmod(0o755)
    for former in (_INSIDE, _INSIDE_RUBY):
        if (folder / former).exists():
            shutil.rmtree(folder / former)
    for name, data in files.items():
        path = folder / name
        for parent in reversed(path.parents):
            if not parent.exists():
                parent.mkdir()
                parent.chmod(0o755)
        path.unlink(missing_ok=True)  # writing to a link would change the file that it leads to
        path.write_bytes(data)
        path.chmod(0o644)


def _files() -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of each file of a bundle."""
    template = (_TEMPLATE / "sitecustomize.py").read_bytes()
    yield "sitecustomize.py", template.replace(b"_BUNDLED = False", b"_BUNDLED = True")
    yield "usercustomize.py", (_TEMPLATE / "usercustomize.py").read_bytes()
    yield f"{_INSIDE}/LICENSE", _licence("autotask-agent")
    for path in sorted(_modules()):
        yield f"{_INSIDE}/{path.relative_to(_PACKAGE)}", path.read_bytes()
    yield f"{_INSIDE}/wrapt/LICENSE", _licence("wrapt")
    for path in _modules_of_wrapt():
        yield f"{_INSIDE}/wrapt/{path.name}", path.read_bytes()
    for path in sorted(_RUBY.rglob("*.rb")):
        yield f"ruby/{path.relative_to(_RUBY)}", path.read_bytes()


def _modules() -> set[Path]:
    """Return our own modules: all that a task may load, and what a parent imports."""
    modules = {
        path
        for path in _PACKAGE.rglob("*.py")
        if path.relative_to(_PACKAGE).parts[0] not in _NOT_IN_A_TASK
    }
    pending = [*_PARENTS]
    while pending:
        path = pending.pop()
        if path not in modules:
            modules |= {path, path.with_name("__init__.py")}
            pending += _imported(ast.parse(path.read_bytes()))
    return modules


def _imported(node: ast.AST) -> Iterator[Path]:
    """Yield those of our modules that a piece of code imports, at once or in a function."""
    names = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        # An imported name may be a module, or something in one.
        names = [f"{node.module}.{alias.name}" for alias in node.names] + [str(node.module)]
    for name in names:
        path = _PACKAGE.parent.joinpath(*name.split(".")).with_suffix(".py")
        if path.is_relative_to(_PACKAGE) and path.exists():
            yield path
    for child in ast.iter_child_nodes(node):
        if not (isinstance(node, ast.If) and _is_for_types(node.test) and child in node.body):
            yield from _imported(child)


def _is_for_types(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


def _modules_of_wrapt() -> list[Path]:
    """Return the files of those modules of wrapt that autotask imports."""
    importlib.import_module("autotask.wrapt.wrappers")
    names = [name for name in sys.modules if name.startswith("autotask.wrapt.")]
    return [Path(str(sys.modules[name].__file__)) for name in sorted(names)]


def _licence(distribution: str) -> bytes:
    checkout = _PACKAGE.parent / "LICENSE"
    if distribution == "autotask-agent" and checkout.exists():
        return checkout.read_bytes()
    files = metadata.files(distribution) or ()
    return next(file.read_binary() for file in files if file.name.startswith("LICENSE"))
