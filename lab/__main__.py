"""`python -m lab <command>`: the lab by hand. `env`, `setup` and `doctor` need nothing installed."""

from __future__ import annotations

import argparse
import os
import sys

if sys.version_info < (3, 11):  # noqa: UP036  (a sentence instead of a traceback on an older one)
    sys.exit("python -m lab: Python 3.11 or newer is needed, this is " + sys.version.split()[0])

from lab import interrupt


def say(text: str) -> None:
    """A line for the person at the terminal, now (a pipe would hold it back)."""
    print(text, flush=True)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("env", help='lines for eval "$(python -m lab env)"')
    commands.add_parser("setup", help="virtual environment, packages, tools")
    commands.add_parser("doctor", help="where each tool comes from, and what is missing")
    tool = commands.add_parser("tool", help="get a tool by name, and say where it is")
    tool.add_argument("name")
    up = commands.add_parser("up", help="bring up AWS, network, machines and the legacy cluster")
    up.add_argument("--empty", action="store_true", help="the processes only, no cluster")
    down = commands.add_parser("down", help="end every process of the lab")
    down.add_argument("--purge", action="store_true", help="delete the lab's state too, except its reports")
    commands.add_parser("status", help="what runs, and whether the cluster is healthy")
    return top


def _env() -> int:
    from lab import toolchain
    from lab.environment import VENV, exports, make_folders

    make_folders()
    print(exports())
    missing = [tool.name for tool in toolchain.TOOLS if toolchain.find(tool.name) is None]
    if not (VENV / "bin" / "python").exists():
        missing.insert(0, ".venv")
    if missing:
        print(f"python -m lab env: {', '.join(missing)} missing: run `make setup`", file=sys.stderr)
    return 0


def _tool(name: str) -> int:
    from lab import toolchain
    from lab.toolchain.pins import BY_NAME

    if name not in BY_NAME:
        raise ValueError(f"{name!r} is no tool of the lab: {', '.join(BY_NAME)} are")
    try:
        # Its path alone on stdout, for a shell to use.
        toolchain.ensure(lambda text: print(text, file=sys.stderr, flush=True), [name])
        say(str(toolchain.tool_path(name)))
    except toolchain.MissingTool as error:
        print(f"python -m lab tool: {error}", file=sys.stderr)
        return 1
    return 0


IN_VENV = {"up", "status"}


def _in_venv(argv: list[str]) -> int | None:
    """Goes on as the virtual environment's Python. None if this is that one, an exit status if there is none."""
    from lab.environment import VENV

    if os.path.realpath(sys.prefix) == os.path.realpath(VENV):
        return None
    python = VENV / "bin" / "python"
    if python.exists():
        os.execv(python, [str(python), "-m", "lab", *argv])
    say(f"python -m lab: {VENV} is missing: run `make setup`")
    return 1


def _run(options: argparse.Namespace) -> int:
    # Each import is made by the command that needs it: `env` must work before anything is installed.
    match options.command:
        case "env":
            return _env()
        case "setup":
            from lab.setup import setup

            return setup(say)
        case "tool":
            return _tool(options.name)
        case "doctor":
            from lab.doctor import doctor

            return doctor(say)
        case "up":
            from lab.up import up

            return up(say, empty=options.empty)
        case "down":
            from lab.up import down

            return down(say, purge=options.purge)
        case "status":
            from lab.up import status

            return status(say)
        case _:
            raise AssertionError(options.command)


def main(argv: list[str] | None = None) -> int:
    """Runs a command; returns its exit status (130 after Ctrl-C, as shells have it)."""
    top = parser()
    options = top.parse_args(argv)
    try:
        if options.command in IN_VENV:
            status = _in_venv(sys.argv[1:] if argv is None else argv)
            if status is not None:
                return status
        # Not before: a program that takes this one's place would no longer see that it is to ignore Ctrl-C.
        interrupt.install()
        return _run(options)
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except ValueError as error:
        # LAB_INDEX, LAB_PLUGINS, lab.json: named by whoever read them.
        # Not to stdout: a shell may be evaluating that.
        print(f"python -m lab {options.command}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
