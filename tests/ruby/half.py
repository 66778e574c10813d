"""Call functions of the Ruby half from a test: one Ruby process answers a whole file's questions.

A text goes both ways as its bytes, so that it may hold some that are not UTF-8: in Python they are
lone surrogates, as in os.environ.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("hypothesis")

from hypothesis import HealthCheck

FOLDER = Path(__file__).resolve().parents[2] / "autotask_ruby"
RUBY = shutil.which("ruby") or ""
without_ruby = pytest.mark.skipif(not RUBY, reason="no Ruby on this machine")

# Loads the Ruby half's files as in a program, and none of them starts anything.
LOADER = f"""
ENV["AUTOTASK_PARENT"] = "none"
path = {str(FOLDER / "autotask" / "agent.rb")!r}
Object.class_eval(File.open(path, "r:UTF-8", &:read), path)
AutotaskAgent.evaluate("guard")
"""

_SERVE = """
require "json"

def decoded(value)
  case value
  when String then [value].pack("H*").force_encoding("UTF-8")
  when Array then value.map { |item| decoded(item) }
  when Hash then value.map { |key, item| [decoded(key), decoded(item)] }.to_h
  else value
  end
end

def encoded(value)
  case value
  when String, Symbol then value.to_s.unpack("H*").first
  when Array then value.map { |item| encoded(item) }
  when Hash then value.map { |key, item| [encoded(key), encoded(item)] }.to_h
  else value
  end
end

$stdout.sync = true
$stdin.each_line do |line|
  name, arguments = JSON.parse(line)
  begin
    answer = [encoded(send(name, *decoded(arguments)))]
  rescue StandardError => problem
    answer = [nil, problem.full_message(highlight: false)]
  end
  puts JSON.generate(answer)
end
"""

# Of tests that ask a Ruby process for each example: nothing depends on speed.
HYPOTHESIS: Any = {
    "deadline": None,
    "database": None,
    "derandomize": bool(os.environ.get("CI")),
    "suppress_health_check": list(HealthCheck),
}


class Half:
    """A Ruby process in which a program's functions can be called."""

    def __init__(self, program: str, *options: str) -> None:
        words = [RUBY, "-w", "-W:deprecated", *options, "-e", f"{LOADER}{program}{_SERVE}"]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self._process.pid

    def __call__(self, function: str, *arguments: Any) -> Any:
        """Call a function of the program; return what it returns."""
        assert self._process.stdin
        assert self._process.stdout
        question = json.dumps([function, _encoded(arguments)]) + "\n"
        self._process.stdin.write(question.encode())
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"Ruby has ended: {self._process.wait()}"
        result, *problem = json.loads(answer)
        assert not problem, problem[0]
        return _decoded(result)

    def close(self) -> None:
        self._process.communicate()


def _encoded(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").hex()
    if isinstance(value, (list, tuple)):
        return [_encoded(item) for item in value]
    if isinstance(value, dict):
        return {_encoded(key): _encoded(item) for key, item in value.items()}
    return value


def _decoded(value: Any) -> Any:
    if isinstance(value, str):
        return bytes.fromhex(value).decode("utf-8", "surrogateescape")
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if isinstance(value, dict):
        return {_decoded(key): _decoded(item) for key, item in value.items()}
    return value
