"""An authorization server and a small MCP server that wants its tokens, in one program.

    python3 oauth_server.py [--expires SECONDS] [--other-issuer] [--other-resource] [--no-pkce]

Prints the address of the MCP server. POST /test/expire ends all access tokens; GET /test/counts
tells how often tokens were given and calls were made. Refresh tokens are good once.
"""

import argparse
import base64
import hashlib
import json
import secrets
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

arguments = argparse.ArgumentParser()
arguments.add_argument("--expires", type=int, default=3600)
arguments.add_argument("--other-issuer", action="store_true")
arguments.add_argument("--other-resource", action="store_true")
arguments.add_argument("--no-pkce", action="store_true")
options = arguments.parse_args()

lock = threading.Lock()
clients, codes, access, refresh = {}, {}, set(), {}
counts = {"tokens": 0, "calls": 0, "registrations": 0}


def give_tokens(client, with_refresh=True):
    token = "at." + secrets.token_urlsafe(16)
    access.add(token)
    counts["tokens"] += 1
    answer = {"access_token": token, "token_type": "Bearer", "expires_in": options.expires}
    if with_refresh:
        answer["refresh_token"] = "rt." + secrets.token_urlsafe(16)
        refresh[answer["refresh_token"]] = client
    return answer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=None, **headers):
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if body is not None:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    @property
    def origin(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_GET(self):
        place = urllib.parse.urlsplit(self.path)
        if place.path == "/.well-known/oauth-protected-resource/mcp":
            own = "http://127.0.0.1:1/other" if options.other_resource else self.origin + "/mcp"
            self.answer(200, {"resource": own, "authorization_servers": [self.origin + "/as"],
                              "scopes_supported": ["read", "write"]})
        elif place.path == "/.well-known/oauth-authorization-server/as":
            issuer = self.origin + ("/evil" if options.other_issuer else "/as")
            self.answer(200, {
                "issuer": issuer, "authorization_endpoint": self.origin + "/authorize",
                "token_endpoint": self.origin + "/token",
                "registration_endpoint": self.origin + "/register",
                "code_challenge_methods_supported": ["plain"] if options.no_pkce else ["S256"],
                "authorization_response_iss_parameter_supported": True})
        elif place.path == "/authorize":
            asked = dict(urllib.parse.parse_qsl(place.query))
            known = clients.get(asked.get("client_id"), [])
            if asked.get("redirect_uri") not in known or asked.get("resource") != self.origin + "/mcp" \
                    or asked.get("code_challenge_method") != "S256":
                return self.answer(400, {"error": "invalid_request"})
            code = secrets.token_urlsafe(16)
            codes[code] = asked
            back = urllib.parse.urlencode(
                {"code": code, "state": asked["state"], "iss": self.origin + "/as"})
            self.answer(302, Location=f"{asked['redirect_uri']}?{back}")
        elif place.path == "/test/counts":
            self.answer(200, counts)
        elif place.path == "/mcp" and not self.has_token():
            self.refuse()
        else:
            self.answer(404 if place.path != "/mcp" else 405, {"error": "nothing here"})

    def has_token(self):
        return self.headers.get("Authorization", "").removeprefix("Bearer ") in access

    def refuse(self):
        where = f"{self.origin}/.well-known/oauth-protected-resource/mcp"
        self.answer(401, {"error": "invalid_token"},
                    WWW_Authenticate=f'Bearer error="invalid_token", resource_metadata="{where}"')

    def do_POST(self):
        body = self.body()
        with lock:
            if self.path == "/register":
                asked = json.loads(body)
                name = "client-" + secrets.token_hex(4)
                clients[name] = asked["redirect_uris"]
                counts["registrations"] += 1
                self.answer(201, {"client_id": name, "redirect_uris": asked["redirect_uris"]})
            elif self.path == "/token":
                self.token(dict(urllib.parse.parse_qsl(body.decode())))
            elif self.path == "/test/expire":
                access.clear()
                self.answer(200, {})
            elif self.path == "/mcp":
                self.serve(json.loads(body)) if self.has_token() else self.refuse()
            else:
                self.answer(404, {"error": "nothing here"})

    def token(self, asked):
        if asked.get("resource") != self.origin + "/mcp":
            return self.answer(400, {"error": "invalid_target"})
        kind = asked.get("grant_type")
        if kind == "authorization_code":
            given = codes.pop(asked.get("code"), None)
            digest = hashlib.sha256(asked.get("code_verifier", "").encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            if given is None or given["code_challenge"] != challenge \
                    or given["redirect_uri"] != asked.get("redirect_uri") \
                    or given["client_id"] != asked.get("client_id"):
                return self.answer(400, {"error": "invalid_grant"})
            return self.answer(200, give_tokens(given["client_id"]))
        if kind == "refresh_token":
            client = refresh.pop(asked.get("refresh_token"), None)
            if client is None or client != asked.get("client_id"):
                return self.answer(400, {"error": "invalid_grant"})
            return self.answer(200, give_tokens(client))
        if kind == "client_credentials":
            pair = base64.b64encode(b"robot:s%2Bcret").decode()
            if self.headers.get("Authorization") != "Basic " + pair:
                return self.answer(401, {"error": "invalid_client"})
            return self.answer(200, give_tokens("robot", with_refresh=False))
        self.answer(400, {"error": "unsupported_grant_type"})

    def serve(self, message):
        if "id" not in message:
            return self.answer(202)
        method = message["method"]
        if method == "initialize":
            result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                      "serverInfo": {"name": "guarded", "version": "1"}}
        elif method == "tools/list":
            result = {"tools": [{"name": "open", "description": "Opens it",
                                 "inputSchema": {"type": "object"}}]}
        elif method == "tools/call":
            counts["calls"] += 1
            result = {"content": [{"type": "text", "text": "opened"}], "isError": False}
        else:
            error = {"code": -32601, "message": "unknown method"}
            return self.answer(200, {"jsonrpc": "2.0", "id": message["id"], "error": error})
        self.answer(200, {"jsonrpc": "2.0", "id": message["id"], "result": result})


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(f"http://127.0.0.1:{server.server_port}/mcp", flush=True)
try:
    server.serve_forever()
except KeyboardInterrupt:
    sys.exit(0)
