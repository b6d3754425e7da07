"""The frame that the Python clients share: reads a request, runs its operations, writes a transcript.

A client supplies a session class; every kind of step (see README.md) is a method of that name which takes the
step and returns a list of results. A kind without a method is reported as unsupported by this client.
"""

import hashlib
import json
import os
import sys
import threading
import time

BLOCK = 65536


def plain(value):
    """A value as JSON that keeps its type visible: b"..." becomes 0x..., anything unusual Type(text)."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (bytes, bytearray)):
        if len(value) > 256:
            return f"bytes({len(value)}, sha256 {hashlib.sha256(value).hexdigest()})"
        return "0x" + bytes(value).hex()
    if isinstance(value, set):
        return f"set({','.join(sorted(map(str, value)))})"
    return f"{type(value).__name__}({value})"


def resultset(columns, rows, digest=False, **more):
    """A result with rows; with `digest` the rows are replaced by their number and a hash."""
    result = {"columns": columns}
    if digest:
        sha = hashlib.sha256()
        for row in rows:
            sha.update(json.dumps([plain(v) for v in row]).encode())
        result["rows"] = len(rows)
        result["sha256"] = sha.hexdigest()
    else:
        result["rows"] = [[plain(v) for v in row] for row in rows]
    result.update(more)
    return result


def pattern(size):
    """`size` bytes in which no two blocks are equal, so that a lost or exchanged part changes the hash."""
    blocks = (hashlib.sha256(str(i).encode()).digest() * (BLOCK // 32) for i in range(-(-size // BLOCK)))
    return b"".join(blocks)[:size]


def value_of(param):
    """A parameter of a request: {"hex": "..."} stands for bytes."""
    return bytes.fromhex(param["hex"]) if isinstance(param, dict) else param


def kill_query(make, login, session, step):
    """Runs a statement and kills it from a second connection by the id which the first client object shows."""
    outcome = {}

    def run():
        outcome["results"] = guarded(session, session.query, {"sql": step["sql"]})

    began = time.monotonic()
    thread = threading.Thread(target=run)
    thread.start()
    killer = make(login)
    watch = {"sql": "SELECT COUNT(*) FROM information_schema.processlist WHERE info = '%s'" % step["sql"]}
    while time.monotonic() - began < 10:
        if killer.query(watch)[0]["rows"] == [[1]]:
            break
        time.sleep(0.05)
    kill = guarded(killer, killer.query, {"sql": f"KILL QUERY {session.connection_id()}"})
    killer.close()
    thread.join()
    early = {"ended_early": time.monotonic() - began < 15}
    return [{"kill": kill}] + outcome["results"] + [early] + guarded(session, session.query, {"sql": "SELECT 1"})


def server(session):
    """What the client object itself says about the server."""
    own = session.query({"sql": "SELECT CONNECTION_ID()"})[0]["rows"][0][0]
    return [{"server_version": session.server_version(), "id_is_connection_id": own == session.connection_id()}]


def wait(step):
    """Waits for a file; the session is idle meanwhile."""
    began = time.monotonic()
    while not os.path.exists(step["file"]) and time.monotonic() - began < 10:
        time.sleep(0.01)
    return [{"waited": os.path.exists(step["file"])}]


def guarded(session, call, *arguments):
    """The results of a call, or its error as the only result."""
    try:
        return call(*arguments)
    except session.errors as error:
        return [{"error": session.describe(error)}]
    except Exception as error:
        return [{"error": {"exception": f"{type(error).__name__}: {error}"}}]


def run_step(make, login, session, step):
    kind = step["do"]
    if kind == "kill_query":
        return kill_query(make, login, session, step)
    if kind == "wait":
        return wait(step)
    if kind == "server":
        return server(session)
    method = getattr(session, kind, None)
    if method is None:
        return [{"unsupported": f"no {kind} in this client"}]
    return method(step)


def main(make):
    """`make(login)` connects and returns a session; its class has `errors` and `describe(error)`."""
    request = json.load(sys.stdin)

    def emit(op, number, results):
        for result in results:
            print(json.dumps({"op": op["name"], "step": number, **result}, ensure_ascii=False), flush=True)

    for op in request["ops"]:
        login = {**request["login"], **op.get("login", {})}
        opened = []
        failed = guarded(make, lambda login=login, opened=opened: opened.append(make(login)) or [])
        emit(op, "connect", failed)
        if failed:
            continue
        session = opened[0]
        for number, step in enumerate(op["steps"]):
            emit(op, number, guarded(session, run_step, make, login, session, step))
        try:
            session.close()
        except session.errors as error:
            emit(op, "close", [{"error": session.describe(error)}])
