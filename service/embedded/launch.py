"""Runs a program detached, as another user, or both. A script of its own (standard library only).

`python -I -S launch.py '{"uid": 101, "gid": 104, "keep_access": true, "detach": true}' PROGRAM ARGUMENT ...`

Privileges are dropped here and not in a `preexec_fn`, which is unsafe in a process that has threads. With
`keep_access` the program may still walk through folders that only root may enter (a 0700 temporary folder,
/root): the two capabilities for that survive the change of user as ambient ones; no folder's mode is touched.
With `detach` the process id is printed and the program outlives us; its output goes to our standard error.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys

_PR_SET_KEEPCAPS = 8
_PR_SET_SECUREBITS = 28
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Data(ctypes.Structure):
    _fields_ = [
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    ]


def become(uid: int, gid: int, keep_access: bool) -> None:
    """Turns this process into that user's, with access to every folder if asked.

    Where the system does not grant the capabilities, the program runs without and says what it cannot reach.
    """
    libc = ctypes.CDLL(None, use_errno=True) if keep_access and sys.platform == "linux" else None
    if libc:
        libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
        # access(2) leaves capabilities out for an ordinary user, and initdb looks for its own programs with it.
        libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if libc:
        mask = (1 << _CAP_DAC_OVERRIDE) | (1 << _CAP_DAC_READ_SEARCH)
        data = (_Data * 2)(_Data(mask, mask, mask), _Data(0, 0, 0))
        libc.capset(ctypes.byref(_Header(_CAPABILITY_VERSION_3, 0)), data)
        for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
            libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def main() -> None:
    """Replaces this process, or a detached child of it, by the program."""
    options, program = json.loads(sys.argv[1]), sys.argv[2:]
    if options["detach"]:
        if pid := os.fork():
            os.write(1, str(pid).encode())
            os._exit(0)
        os.dup2(2, 1)
    try:
        if options["uid"] is not None:
            become(options["uid"], options["gid"], options["keep_access"])
        os.execv(program[0], program)  # noqa: S606 - a shell is the last thing wanted here
    except OSError as error:
        sys.stderr.write(f"FATAL:  cannot run {program[0]} as user {options['uid']}: {error.strerror}\n")
        sys.stderr.flush()
        os._exit(127)


if __name__ == "__main__":
    main()
