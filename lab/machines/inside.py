"""Runs a static program with a machine's folder as its root: `python inside.py ROOT PROGRAM [ARGUMENT …]`. Stdlib only.

For programs whose paths are built in. Without the right to change the root it takes a user namespace, where it has
that right and stays whoever it is (user_namespaces(7)); the program is opened before, since it isn't in that root.
"""

from __future__ import annotations

import ctypes
import os
import sys

CLONE_NEWUSER = 0x10000000


def enter(root: str) -> None:
    """Changes the root. Raises PermissionError, with a remedy, where the host allows neither way."""
    try:
        os.chroot(root)
    except PermissionError:
        user, group = os.getuid(), os.getgid()
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER):
            raise PermissionError(
                f"this host lets no ordinary user make a user namespace ({os.strerror(ctypes.get_errno())}): allow it "
                "(kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0) or be root"
            ) from None
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
        os.chroot(root)
    os.chdir("/")


def main(root: str, program: str, *arguments: str) -> None:
    descriptor = os.open(program, os.O_RDONLY)
    try:
        enter(root)
    except PermissionError as error:
        sys.exit(f"{os.path.basename(program)}: {error}")
    os.execve(descriptor, [os.path.basename(program), *arguments], dict(os.environ))


if __name__ == "__main__":
    main(*sys.argv[1:])
