"""A real HTTP server on loopback that answers chat completions as a test says, and keeps what it was asked."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Response:
    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0


Answer = Callable[[dict[str, Any], int], Response]
"""Takes the request's body and its number, from 0."""


@dataclass
class ChatServer:
    url: str
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def chat_server(answer: Answer) -> Iterator[ChatServer]:
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                number = len(server.asked)
                server.asked.append(body)
                server.headers.append(dict(self.headers))
            response = answer(body, number)
            if response.delay_seconds:
                time.sleep(response.delay_seconds)
            content = response.body.encode()
            self.send_response(response.status)
            for name, value in {**response.headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = ChatServer(f"http://127.0.0.1:{http.server_port}/v1")
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def completion(content: str, *calls: tuple[str, str], finish: str = "stop", tokens: int = 7) -> Response:
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if calls:
        functions = [{"name": name, "arguments": arguments} for name, arguments in calls]
        message["tool_calls"] = [
            {"id": f"x{n}", "type": "function", "function": one} for n, one in enumerate(functions)
        ]
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return Response(200, json.dumps({"choices": [choice], "usage": {"completion_tokens": tokens}}))
