"""A local server that speaks the protocol of chat completions, well or badly, as a test tells
it.
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "sk-very-secret-5d1f"
GOOD = json.dumps(
    {"name": "rivers", "examples": ["Oder", "Elbe", "Rhine", "Main"], "is_monosemantic": True}
)


def completion(content=None, *, refusal=None, finish_reason="stop"):
    message = {"role": "assistant", "content": content, "refusal": refusal}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return 200, {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [choice],
    }


def fault(status, message="busy", code=None):
    return status, {"error": {"message": message, "code": code, "type": "t", "param": None}}


class Server:
    """Answers the requests in turn from a list; the last answer is repeated. Keeps what it was
    asked.

    An answer is a status, a content and, if there is a third, headers; or a function from the body
    of a request to these.
    """

    def __init__(self):
        self.answers, self.requests, self.delay = [completion(GOOD)], [], 0.0
        outer, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    outer.requests.append((self.path, self.headers["Authorization"], body))
                    answer = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                time.sleep(outer.delay)
                status, content, *rest = answer(body) if callable(answer) else answer
                data = (
                    content.encode() if isinstance(content, str) else json.dumps(content).encode()
                )
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                for name, value in (rest[0] if rest else {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
