"""`python -m rehearsal <command>`: the migration on the lab by hand (`up`), whole, back, killed, or broken."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace

from lab import interrupt
from lab.controllers import WAYS
from lab.layouts import LAYOUTS
from lab.profiles import PROFILES, SMALL, number
from lab.shapes import AWKWARD, PET, SHAPES
from lab.timings import QUICK, TIMINGS
from lab.workload.room import refusal
from proof.model import EXIT_DOUBTED
from rehearsal.driver import RehearsalError
from rehearsal.forms import Form, FormRehearsal
from rehearsal.layouts import STRATEGIES, parse_forms
from rehearsal.meant import parted
from rehearsal.run import parse_stages
from rehearsal.stack import StackError, lab_with_stack
from rehearsal.watch import WatchError


def say(text: str) -> None:
    """A line for the person at the terminal, now."""
    print(text, flush=True)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(prog="python -m rehearsal", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("up", help="the lab with its legacy cluster, and the stack that discovery writes for it")
    rehearse = commands.add_parser("rehearse", help="the whole migration on a fresh lab, with a report")
    rehearse.add_argument("--stages", default=os.environ.get("STAGES", ""), help="0..n stops after stage n")
    _of_form(rehearse)
    rehearse.add_argument(
        "--timing",
        choices=tuple(TIMINGS),
        default=os.environ.get("TIMING") or os.environ.get("LAB_TIMING") or QUICK,
        help="how long the lab's AWS takes: quick, or as long as AWS itself",
    )
    layouts = commands.add_parser("layouts", help="the whole migration for every layout, each with both ways for data")
    layouts.add_argument(
        "--forms", default=os.environ.get("FORMS", ""), help="only these: kubeadm/volume,custom/learner"
    )
    layouts.add_argument("--again", action="store_true", help="also those that were ok with this very program")
    shapes = commands.add_parser("shapes", help="the whole migration of accounts with oddities, a variation a seed")
    shapes.add_argument(
        "--count", type=_positive, default=os.environ.get("COUNT") or "10", help="so many seeds, from 0 on"
    )
    shapes.add_argument("--seeds", default=os.environ.get("SEEDS", ""), help="only these: 3,7")
    shapes.add_argument("--stages", default=os.environ.get("STAGES", ""), help="0..n stops after stage n")
    shapes.add_argument("--again", action="store_true", help="also those that were ok with this very program")
    back = commands.add_parser("back", help="forward to a stage and back to 0, once for each, and the world as it was")
    back.add_argument(
        "--turns", default=os.environ.get("TURNS", ""), help="stages to turn round at, with commas between"
    )
    _of_form(back)
    back.add_argument("--again", action="store_true", help="also those that were ok with this very program")
    back.add_argument("--short", action="store_true", help="neither previews nor second ups; rows in a file of its own")
    commands.add_parser(
        "living", help="the whole migration, then an image rolled out and a pool renamed, with a report"
    )
    again = commands.add_parser("again", help="two migrations in a row on one lab, then an image and a pool changed")
    again.add_argument(
        "--short",
        action="store_true",
        help="the second only to stage 3, on the lab that a rehearsal has left at 8; a file of its own",
    )
    crash = commands.add_parser("crash", help="kill engine and hosts and stop AWS while it goes forward and back")
    crash.add_argument("--seed", type=int, default=os.environ.get("SEED") or "1", help="chooses the moments")
    crash.add_argument(
        "--count", type=_positive, default=os.environ.get("COUNT") or "20", help="strikes a stage and direction"
    )
    crash.add_argument("--again", action="store_true", help="forget this seed's rows with this very program")
    crash.add_argument("--minutes", type=float, help="after so many begin nothing new; the next run goes on")
    crash.add_argument("--short", action="store_true", help="one strike of each kind; rows in a file of its own")
    sabotage = commands.add_parser("sabotage", help="break one thing at a time and see the proof say so")
    sabotage.add_argument("--only", default="", help="names of breaks, with commas between")
    return top


def _of_form(command: argparse.ArgumentParser) -> None:
    """What the lab's first cluster is like."""
    command.add_argument(
        "--profile", choices=tuple(PROFILES), default=os.environ.get("PROFILE") or SMALL, help="how big the cluster is"
    )
    command.add_argument(
        "--pods", default=os.environ.get("PODS", ""), help="of the teams', in a profile that has as many as asked for"
    )
    command.add_argument(
        "--layout", choices=tuple(LAYOUTS), default=os.environ.get("LAYOUT") or Form.layout, help="of its control plane"
    )
    command.add_argument(
        "--etcd", choices=STRATEGIES, default=os.environ.get("ETCD") or Form.etcd, help="how a member's data moves"
    )
    command.add_argument(
        "--shape", choices=SHAPES, default=os.environ.get("SHAPE") or PET, help="how the cluster's account is"
    )
    command.add_argument(
        "--seed", type=int, default=os.environ.get("SEED") or "0", help="chooses the shape's variation"
    )
    command.add_argument(
        "--controllers",
        choices=WAYS,
        default=os.environ.get("CONTROLLERS") or Form.controllers,
        help="cloud controller and external-dns",
    )


def _form(options: argparse.Namespace) -> Form:
    """Defaults from the environment are looked at here, before a lab is touched. Raises ValueError."""
    [form] = parse_forms(f"{options.layout}/{options.etcd}")
    timing = getattr(options, "timing", Form.timing)
    for variable, value, known in (
        ("PROFILE", options.profile, tuple(PROFILES)),
        ("SHAPE", options.shape, SHAPES),
        ("CONTROLLERS", options.controllers, WAYS),
        ("TIMING", timing, tuple(TIMINGS)),
    ):
        if value not in known:
            raise ValueError(f"{variable}={value!r}: must be one of {', '.join(known)}")
    pods = number(options.pods, "PODS") if options.pods else None
    if pods is not None and (reason := refusal(options.profile, pods)):
        raise ValueError(f"PODS={pods}: {reason}")
    form = replace(form, profile=options.profile, pods=pods)
    form = replace(form, shape=options.shape, seed=options.seed, controllers=options.controllers, timing=timing)
    if form.controllers != Form.controllers and (form.shape != AWKWARD or form.layout != Form.layout):
        raise ValueError(
            f"CONTROLLERS={form.controllers!r}: shape {form.shape} with layout {form.layout} has none that are real; "
            f"set SHAPE={AWKWARD} and LAYOUT={Form.layout}, or leave it out"
        )
    return form


def main(argv: list[str] | None = None) -> int:
    """Exit status 0 only if the report is ok (or every break was caught); 3 if only this machine was too busy to tell;
    130 after Ctrl-C, as shells have it."""
    options = parser().parse_args(argv)
    interrupt.install()
    try:
        match options.command:
            case "up":
                return lab_with_stack(say)
            case "rehearse":
                return _rehearse(parse_stages(options.stages), _form(options))
            case "layouts":
                from rehearsal import form_rows, layouts

                return form_rows.run(say, parse_forms(options.forms), layouts.FILE, again=options.again)
            case "shapes":
                from rehearsal import form_rows, shapes

                forms = shapes.variations(options.count, options.seeds)
                last = parse_stages(options.stages)
                return form_rows.run(say, forms, shapes.file_of(last), last=last, again=options.again)
            case "living":
                from rehearsal import living

                return living.run(say)
            case "again":
                from rehearsal import again

                return again.run(say, short=options.short)
            case "back":
                from rehearsal import back

                how = {"again": options.again, "short": options.short}
                return back.run(say, back.parse_turns(options.turns), _form(options), **how)
            case "crash":
                from rehearsal import crash

                how = {"again": options.again, "short": options.short, "minutes": options.minutes}
                return crash.run(say, options.seed, options.count, **how)
            case _:
                from rehearsal.sabotage import run

                return run(say, [name for name in options.only.split(",") if name])
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except (ValueError, RehearsalError, StackError, WatchError) as error:
        print(f"python -m rehearsal {options.command}: {error}", file=sys.stderr)
        return 2


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a number of at least 1")
    return int(text)


def _rehearse(last: int, form: Form) -> int:
    rehearsal = FormRehearsal(last=last, say=say, title=form.report, form=form)
    report = rehearsal.go()
    say("")
    wrong, meant = parted(report, form, last)
    for reason in meant:
        say(f"meant: {reason}")
    for reason in wrong:
        say(f"not ok: {reason}")
    doubted = all(reason in report.doubts for reason in wrong)
    status = 0 if not wrong else EXIT_DOUBTED if doubted else 1
    told = "ok" if not status else "NOT TO BE BELIEVED" if status == EXIT_DOUBTED else "NOT OK"
    say(f"{told} after {report.seconds:.0f} s: {rehearsal.reports / f'{form.report}.html'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
