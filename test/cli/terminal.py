"""Runs a command at a terminal of its own, which goes away when its output matches a pattern: terminal.py PATTERN COMMAND...
Prints what came out and how the command ended, as JSON. An empty pattern leaves the terminal where it is."""
import json, os, pty, re, sys

pattern, command = sys.argv[1].encode(), sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(command[0], command)
output = b""
while True:
    try:
        piece = os.read(terminal, 65536)
    except OSError:  # the command has ended
        break
    if not piece:
        break
    output += piece
    if pattern and re.search(pattern, output):
        os.close(terminal)
        break
_, status = os.waitpid(pid, 0)
print(json.dumps({"output": output.decode("utf-8", "surrogateescape").encode("utf-16", "surrogatepass").decode("utf-16", "replace"), "code": os.waitstatus_to_exitcode(status)}))
