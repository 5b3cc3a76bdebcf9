"""Python programs as a machine runs them: without comments and docstrings, where user data has little room. Pure."""

from __future__ import annotations

import ast
import io
import tokenize

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def without_comments(program: str) -> str:
    """The same program without what is for readers only; its first line stays, and lines keep their text.

    By positions, and not as `ast.unparse` would write it: another Python's way to write the same is another user data,
    and that is another machine.
    """
    lines: list[str | None] = list(program.splitlines())
    for node in ast.walk(ast.parse(program)):
        if not isinstance(node, _DOCUMENTED) or ast.get_docstring(node, clean=False) is None:
            continue
        # What has nothing but its docstring keeps it as its body.
        if len(node.body) > 1:
            text = node.body[0]
            lines[text.lineno - 1 : text.end_lineno] = [None] * ((text.end_lineno or text.lineno) - text.lineno + 1)
    for token in tokenize.generate_tokens(io.StringIO(program).readline):
        row, column = token.start
        if token.type == tokenize.COMMENT and row > 1:
            lines[row - 1] = (lines[row - 1] or "")[:column].rstrip() or None
        elif token.type == tokenize.NL and not token.line.strip():
            lines[row - 1] = None
    return "".join(f"{line}\n" for line in lines if line is not None)
