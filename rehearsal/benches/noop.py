"""`python -m rehearsal.benches.noop`: a plugin whose resources are nothing, served as the lab's own plugins are."""

from __future__ import annotations

from collections.abc import Sequence

from lab.plugins.host import Change, Difference, Failure, Props, Request, main


class Noop:
    """Keeps what it is told; an input that differs is an update."""

    version = "1.0.0"

    def check_config(self, config: Props) -> Sequence[Failure]:
        """Anything will do."""
        return ()

    def diff_config(self, old: Props, new: Props) -> Difference:
        """Nothing differs."""
        return Difference()

    def configure(self, config: Props) -> None:
        """Nothing to configure."""

    def check(self, request: Request) -> tuple[Props, Sequence[Failure]]:
        """Anything will do."""
        return request.inputs, ()

    def diff(self, request: Request) -> Difference:
        """Each input that is another one."""
        names = sorted(request.inputs.keys() | request.old_inputs.keys())
        differ = [name for name in names if request.inputs.get(name) != request.old_inputs.get(name)]
        return Difference([Change(name) for name in differ])

    def create(self, request: Request) -> tuple[str, Props]:
        """Nothing."""
        return request.name, dict(request.inputs)

    def read(self, request: Request) -> tuple[str, Props, Props] | None:
        """As it was."""
        return request.id, dict(request.old_outputs), dict(request.old_inputs)

    def update(self, request: Request) -> Props:
        """Nothing."""
        return dict(request.inputs)

    def delete(self, request: Request) -> None:
        """Nothing."""

    def cancel(self) -> None:
        """Nothing is ever under way."""


if __name__ == "__main__":
    main(Noop())
