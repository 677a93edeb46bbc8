"""Runs a program at a pseudo-terminal and types at it: python3 terminal.py STEPS COMMAND …

STEPS is a JSON list of [what, keys, seconds]: the keys are typed once `what` (a regular expression, or a number of
bytes) has come out after the previous step, and these seconds (default 0) later; null instead of keys closes the
terminal. Prints {"output", "code"} when the program has ended.
"""

import json
import os
import pty
import re
import select
import sys
import time

steps, command = json.loads(sys.argv[1]), sys.argv[2:]
process, terminal = pty.fork()
if process == 0:
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
