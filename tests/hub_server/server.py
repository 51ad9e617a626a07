"""A Hub on 127.0.0.1: enough of its HTTP interface for the unmodified clients, and faults on request.

The paths and headers are those that `huggingface_hub` asks for; large files are answered by a redirect to another host
name, as the real one does.
"""

import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from .endpoints import ROUTES
from .store import Refused, Repository, Store

TOKENS = {"hf_writer": ("someone", "write"), "hf_reader": ("someone", "read")}


@dataclass
class Fault:
    """The next `times` requests of a method whose path matches `path` fail.

    A status is answered as an error; "drop" reads half of the body and closes the connection; "half" sends half of the
    answer and closes it; "hang" reads half of the body and waits for the client to go away.
    """

    method: str
    path: str
    how: int | str
    times: int = 1


class HubServer(ThreadingHTTPServer):
    """The server with its store; `requests` lists method and path of what was asked."""

    daemon_threads = True
    block_on_close = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.reset()

    def reset(self) -> None:
        self.store = Store()
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        self.stalled = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address) -> None:
        """A client that went away is no error of the server."""

    def take_fault(self, method: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.times > 0 and fault.method == method and re.search(fault.path, path):
                fault.times -= 1
                return fault
        return None


@contextmanager
def running_hub():
    server = HubServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer

    def log_message(self, *_) -> None:
        """The list of requests is the log."""

    def handle_any(self) -> None:
        parts = urlsplit(self.path)
        self.query = parse_qs(parts.query)
        self.server.requests.append((self.command, parts.path))
        fault = self.server.take_fault(self.command, parts.path)
        if fault and fault.how in ("drop", "hang"):
            self.rfile.read(int(self.headers.get("Content-Length", 0)) // 2)
            if fault.how == "hang":
                self.server.stalled.set()
                self.rfile.read()
            self.close_connection = True
            return
        self.halved = bool(fault and fault.how == "half")
        self.body = self.read_body()
        try:
            if fault and isinstance(fault.how, int):
                raise Refused(fault.how, "", "a fault on request")
            self.user, self.role = self.authenticate()
            for method, pattern, function in ROUTES:
                found = pattern.fullmatch(parts.path) if method in (self.command, self.stands_for()) else None
                if found:
                    function(self, **{key: unquote(value) for key, value in found.groupdict().items() if value})
                    return
            raise Refused(404, "", f"no such address: {self.command} {parts.path}")
        except Refused as refused:
            headers = {"X-Error-Message": refused.message, **({"X-Error-Code": refused.code} if refused.code else {})}
            self.send_json({"error": refused.message}, refused.status, headers)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any

    def stands_for(self) -> str:
        return "GET" if self.command == "HEAD" else self.command

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def authenticate(self) -> tuple[str | None, str | None]:
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if given and given not in TOKENS:
            raise Refused(401, "", "Invalid credentials in Authorization header")
        return TOKENS.get(given, (None, None))

    def send(self, body: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if self.halved and status < 300 else body)
        if self.halved:
            self.close_connection = True

    def send_json(self, data: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send(json.dumps(data).encode(), status, {"Content-Type": "application/json", **(headers or {})})

    def repository(self, kind: str, name: str, *, write: bool = False) -> Repository:
        found = self.server.store.find(kind, name)
        if found.private and self.user is None:
            raise Refused(401, "RepoNotFound", f"no {kind} {name} for this user")
        if write and self.role != "write":
            raise Refused(403 if self.user else 401, "", "a token with write access is needed")
        return found
