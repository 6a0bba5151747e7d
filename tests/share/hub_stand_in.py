"""The few addresses of the Hugging Face hub that an upload asks for, on this machine."""

import base64
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hub:
    """What was uploaded.

    Attributes:
        created: bodies of the requests to make a repository.
        validated: model cards that were sent to be checked.
        files: content of each file of the last commit.
        tokens: authorisation of every request to the API.
    """

    def __init__(self):
        self.created, self.validated, self.files = [], [], {}
        self.tokens, self.large = set(), {}
        self.endpoint = ""

    def answer(self, path, body):
        """JSON for a request to the API."""
        if path == "/api/repos/create":
            self.created.append(json.loads(body))
            return {"url": f"{self.endpoint}/someone/words"}
        if path == "/api/validate-yaml":
            self.validated.append(json.loads(body)["content"])
            return {"errors": [], "warnings": []}
        if "/preupload/" in path:
            return {"files": [
                {"path": f["path"], "shouldIgnore": False,
                 "uploadMode": "lfs" if f["path"].endswith(".safetensors") else "regular"}
                for f in json.loads(body)["files"]
            ]}  # fmt: skip
        if path.endswith("/info/lfs/objects/batch"):
            return {"transfer": "basic", "objects": [
                {"oid": o["oid"], "size": o["size"],
                 "actions": {"upload": {"href": f"{self.endpoint}/store/{o['oid']}"}}}
                for o in json.loads(body)["objects"]
            ]}  # fmt: skip
        if "/commit/" not in path:
            raise ValueError(path)
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                self.files[value["path"]] = base64.b64decode(value["content"])
            if line["key"] == "lfsFile":
                self.files[value["path"]] = self.large[value["oid"]]
        url = f"{self.endpoint}/someone/words/commit/{'a' * 40}"
        return {"success": True, "commitOid": "a" * 40, "commitUrl": url}


@contextmanager
def serve():
    """A `Hub` that answers while the block runs."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def _send(self, value):
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _body(self):
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def do_POST(self):
            hub.tokens.add(self.headers.get("Authorization"))
            self._send(hub.answer(self.path.partition("?")[0], self._body()))

        def do_PUT(self):
            hub.large[self.path.rpartition("/")[2]] = self._body()
            self._send({})

        def do_GET(self):
            self._send({"id": "someone/words", "sha": "b" * 40, "siblings": []})

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
