"""The pod that the tests of this folder speak to: HTTP on 8080, and on its localhost's 9000 a digest of all that is
sent until the sender half-closes."""

import os

DEADLINE_S = 30
PAYLOAD = os.urandom(1024 * 1024)

BOX = """
import hashlib, http.server, os, socketserver, sys, threading
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/away":
            self.send_response(302); self.send_header("Location", "/there"); self.end_headers(); return
        self.send_response(200); self.end_headers(); self.wfile.write(("page " + self.path).encode())
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201); self.end_headers(); self.wfile.write(hashlib.sha256(body).hexdigest().encode())
class Digest(socketserver.BaseRequestHandler):
    def handle(self):
        digest = hashlib.sha256()
        while data := self.request.recv(65536): digest.update(data)
        self.request.sendall(digest.hexdigest().encode())
class Server(socketserver.ThreadingTCPServer): daemon_threads = True; request_queue_size = 128
local = Server(("127.0.0.1", 9000), Digest)
threading.Thread(target=local.serve_forever, daemon=True).start()
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Page).serve_forever()
"""
