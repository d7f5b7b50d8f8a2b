"""Runs an interactive shell on a terminal of its own and types lines: python3 typed-in-shell.py '{"shell": [...], "setup": [...], "typed": [...]}'.

A line of setup is run as it is; each text of `typed` is sent key by key, and what the terminal shows until the next prompt is printed, in JSON.
"""
import json, os, pty, select, sys, time

PROMPT = b"READY> "
job = json.loads(sys.argv[1])
pid, terminal = pty.fork()
if pid == 0:
    os.environ.update(PS1=PROMPT.decode(), PROMPT=PROMPT.decode(), TERM="dumb", HISTFILE="")
    os.execvp(job["shell"][0], job["shell"])


def shown_until(mark):
    """What is shown up to a mark. The deadline is for a shell that hangs."""
    seen, deadline = b"", time.monotonic() + 60
    while mark not in seen:
        if not select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0]:
            sys.exit(f"the shell shows no {mark} after {seen}")
        seen += os.read(terminal, 65536)
    return seen.decode(errors="replace")


shown_until(PROMPT)
for line in job["setup"]:
    os.write(terminal, f"{line}; echo D''ONE\n".encode())
    shown_until(b"DONE")
answers = []
for keys in job["typed"]:
    os.write(terminal, keys.encode())
    answers.append(shown_until(b"ENDED"))
print(json.dumps(answers))
os.kill(pid, 9)
os.waitpid(pid, 0)
