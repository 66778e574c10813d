"""Check what AUTOTASK_FUNCTIONS names, in the source: no module of the user's is imported."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator

from autotask.naming import program_words
from autotask.tool.doctor.environment import Environment
from autotask.tool.doctor.finding import Finding, Findings

_LITERALS = (ast.Constant, ast.Dict, ast.List, ast.Set, ast.Tuple, ast.JoinedStr)
_PROPERTIES = ("property", "cached_property", "setter", "getter", "deleter")
_DYNAMIC = frozenset(("*", "__getattr__", "exec", "globals", "locals", "setattr", "vars"))
_BLOCKS = ("body", "orelse", "handlers", "finalbody")  # of `if`, `try`, `with` and the like


def findings(environment: Environment) -> Findings:
    """Yield a finding for each function that is named."""
    functions = environment.settings.functions
    if functions and not environment.answer.get("agent"):
        text = "AUTOTASK_FUNCTIONS was not checked: no Python with the agent was found"
        yield Finding("warning", "function", text, "name the Python program itself after `--`")
        return
    folder = _program_folder(environment)
    files = environment.find_modules([module for module, _, _ in functions], folder)
    for module, qualname, name in functions:
        target = f"{module}:{qualname}"
        file = files.get(module)
        if module == "__main__" or _is_program(environment, module, file):
            text = f"{target} is in the program itself, which is not imported"
            yield Finding("warning", "function", text, "put `@autotask.task` above it instead")
            continue
        if file is None:
            remedy = "correct AUTOTASK_FUNCTIONS, unless the program extends sys.path"
            yield Finding("warning", "function", f"{target}: no module {module} was found", remedy)
            continue
        why = why_unfit(file, qualname)
        if why:
            yield Finding("warning", "function", f"{target} {why}", "correct AUTOTASK_FUNCTIONS")
        else:
            yield Finding("ok", "function", target if name == target else f"{target} as {name}")


def _is_program(environment: Environment, module: str, file: str | None) -> bool:
    """Tell whether the interpreter runs a module as the program: then it is called `__main__`."""
    words = program_words(environment.command.words[1:])
    if words[:1] == ["-m"]:
        return words[1] == module
    return bool(words and file) and os.path.realpath(words[0]) == os.path.realpath(file or "")


def _program_folder(environment: Environment) -> str:
    """Return where the program looks for modules first: the script's folder, or the current one."""
    script = environment.script
    if script and os.path.isfile(script):
        return os.path.dirname(os.path.abspath(script))
    return os.getcwd()


def why_unfit(file: str, qualname: str) -> str | None:
    """Return why a name in a source file is not, or may not be, a function; None if it is one."""
    try:
        with open(file, "rb") as source:
            tree = ast.parse(source.read())
    except (OSError, SyntaxError, ValueError):  # compiled, or newer than this Python
        return None
    node: ast.AST = tree
    reasons: list[str | None] = []
    for word in qualname.split("."):
        if not isinstance(node, (ast.Module, ast.ClassDef)):
            return None  # an object's attribute: only running the program could tell
        members = _members(tree, node, word)
        if not members and _may_have_more(node):
            return f"was not found: no {word} in {file}, unless made at run time"
        if not members:
            return f"does not exist: no {word} in {file}"
        # A name may be bound twice, as in `if` and `else`: one function among them is enough.
        node, reasons = members[-1], [_why_no_function(member) for member in members]
    return reasons[-1] if all(reasons) else None


def _why_no_function(node: ast.AST) -> str | None:
    """Return why a definition certainly is not a function, if so."""
    if isinstance(node, ast.ClassDef):
        return "is a class, not a function"
    if isinstance(node, _LITERALS):
        return "is a constant, not a function"
    decorators = getattr(node, "decorator_list", [])
    if any(_last_name(decorator) in _PROPERTIES for decorator in decorators):
        return "is a property, not a function"
    return None


def _members(tree: ast.Module, owner: ast.Module | ast.ClassDef, name: str) -> list[ast.AST]:
    """Return what a name is bound to in a module or a class, or in the classes that it extends."""
    members = _definitions(owner.body, name)
    for base in getattr(owner, "bases", []):
        for known in [] if members else _definitions(tree.body, _last_name(base) or ""):
            if isinstance(known, ast.ClassDef) and known is not owner:
                members = members or _members(tree, known, name)
    return members


def _definitions(body: list[ast.stmt], name: str) -> list[ast.AST]:
    """Return all that a name is bound to: definitions, assigned values, imports."""
    definitions: list[ast.AST] = []
    for statement in _statements(body):
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if statement.name == name:
                definitions.append(statement)
        elif name in _targets(statement):
            definitions.append(getattr(statement, "value", None) or statement)
    return definitions


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run at this level, with those inside `if`, `try` and `with`."""
    for statement in body:
        yield statement
        if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            for block in _BLOCKS:
                yield from _statements(getattr(statement, block, []))


def _targets(statement: ast.stmt) -> list[str]:
    """Return the names that an assignment or an import binds."""
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return [(alias.asname or alias.name).partition(".")[0] for alias in statement.names]
    if isinstance(statement, (ast.Assign, ast.AnnAssign, ast.For, ast.With)):
        names = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
        return [name.id for name in names if isinstance(name.ctx, ast.Store)]
    return []


def _may_have_more(node: ast.Module | ast.ClassDef) -> bool:
    """Tell whether names may exist that are not written: base classes, `import *`, `globals()`."""
    if getattr(node, "bases", None) or getattr(node, "decorator_list", None):
        return True
    return any(
        getattr(child, "id", None) in _DYNAMIC or getattr(child, "name", None) in _DYNAMIC
        for child in ast.walk(node)
    )


def _last_name(node: ast.AST) -> str | None:
    """Return the last word of a decorator: `cached_property` of `@functools.cached_property`."""
    return getattr(node, "attr", None) or getattr(node, "id", None)
