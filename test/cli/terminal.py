"""Runs a program at a pseudo-terminal and types at it: python3 terminal.py STEPS SIZE COMMAND …

STEPS is a JSON list of [what, keys, seconds]: the keys are typed once `what` (a regular expression, or a number of
bytes) has come out after the previous step, and these seconds (default 0) later; null instead of keys closes the
terminal. SIZE is null, or [columns, rows] of a terminal with a shell that controls jobs: a program that stops goes on
at once, as by `fg`. That shell prints `[stopped cooked]` and `[ended cooked]`, or `raw` if the program left the
terminal without echo or line editing. Prints {"output", "code"} when the program has ended.
"""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

steps, size, command = json.loads(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3:]


def control_job():
    """What a shell does for one job in the foreground."""
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    job = os.fork()
    if job == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpid())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        os.execvp(command[0], command)
    while True:
        _, status = os.waitpid(job, os.WUNTRACED)
        os.tcsetpgrp(0, os.getpgrp())
        local = termios.tcgetattr(0)[3]
        mode = "cooked" if local & termios.ICANON and local & termios.ECHO else "raw"
        os.write(1, b"[%s %s]" % (b"stopped" if os.WIFSTOPPED(status) else b"ended", mode.encode()))
        if not os.WIFSTOPPED(status):
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)
        os.tcsetpgrp(0, job)
        os.killpg(job, signal.SIGCONT)


process, terminal = pty.fork()
if process == 0:
    if size is not None:
        control_job()
    os.execvp(command[0], command)
output = b""


def read(until=None):
    """Reads until a condition holds; False when the program has ended or said nothing for a minute."""
    global output
    while until is None or not until():
        if not select.select([terminal], [], [], 60)[0]:
            return False
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # Linux says so where others say end of file
            piece = b""
        if not piece:
            return False
        output += piece
    return True


seen = 0
for what, keys, *seconds in steps:
    pattern = re.compile(b".{%d}" % what if isinstance(what, int) else what.encode(), re.DOTALL)
    if not read(lambda: pattern.search(output, seen)) or keys is None:
        break
    time.sleep(sum(seconds))
    seen = pattern.search(output, seen).end()
    os.write(terminal, keys.encode())
else:
    read()
os.close(terminal)
_, status = os.waitpid(process, 0)
print(json.dumps({"output": output.decode(errors="replace"), "code": os.waitstatus_to_exitcode(status)}))
