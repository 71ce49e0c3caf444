#!/usr/bin/env python3
"""A door by TCP to the socket of a PostgreSQL server: with a certificate one that speaks TLS, otherwise one that refuses it.

usage: postgres_tls.py SOCKET PORT-FILE [CERTIFICATE KEY]

Writes its port into the file; ends when standard input does.
"""

import contextlib
import os
import select
import socket
import ssl
import struct
import sys
import threading

# What a client asks before it says anything else (src/include/libpq/pqcomm.h).
TLS_REQUEST = struct.pack("!II", 8, 80877103)
GSS_REQUEST = struct.pack("!II", 8, 80877104)


def receive(client, count):
    data = b""
    while len(data) < count:
        more = client.recv(count - len(data))
        if not more:
            raise OSError("the client has gone")
        data += more
    return data


def serve(client, path, context):
    """Answers the request for encryption, then passes everything on."""
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: client.close())
        first = receive(client, 8)
        while first in (TLS_REQUEST, GSS_REQUEST):
            if first == TLS_REQUEST and context:
                client.sendall(b"S")
                client = context.wrap_socket(client, server_side=True)
            else:
                client.sendall(b"N")
            first = receive(client, 8)
        server = stack.enter_context(socket.socket(socket.AF_UNIX))
        server.connect(path)
        server.sendall(first)
        while True:
            # What was decrypted already makes no socket readable.
            is_waiting = isinstance(client, ssl.SSLSocket) and client.pending() > 0
            ready = [client] if is_waiting else select.select([client, server], [], [])[0]
            for source in ready:
                data = source.recv(65_536)
                if not data:
                    return
                (server if source is client else client).sendall(data)


def serve_quietly(*arguments):
    # A client that does not like the certificate goes away.
    with contextlib.suppress(OSError):
        serve(*arguments)


def accept(listener, *arguments):
    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve_quietly, args=(client, *arguments), daemon=True).start()


def main():
    path, port_file, *certificate = sys.argv[1:]
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=accept, args=(listener, path, context), daemon=True).start()
    with open(f"{port_file}.new", "w") as file:
        file.write(str(listener.getsockname()[1]))
    os.replace(f"{port_file}.new", port_file)
    sys.stdin.read()


if __name__ == "__main__":
    main()
