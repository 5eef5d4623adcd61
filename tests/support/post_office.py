"""A mail server with TLS and login, or a web server with TLS, for the tests.

post_office.py smtps|starttls|https FOLDER CERTIFICATE KEY

Says its port in one line, and writes what it takes as FOLDER/<number>.json.
The one login is `ferry` with `pass word/%40`.
"""

import asyncio
import itertools
import json
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

kind, folder, certificate, key = sys.argv[1:]
numbers = itertools.count(1)


def keep(**taken):
    path = os.path.join(folder, f"{next(numbers)}.json")
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(taken, file)
    os.rename(path + ".new", path)


class Clerk:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("unknown@"):
            return "550 5.1.1 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        keep(
            sender=envelope.mail_from,
            receivers=envelope.rcpt_tos,
            content=envelope.content.decode("utf-8"),
            tls=session.ssl is not None or kind == "smtps",
            login=session.auth_data,
        )
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    good = (data.login, data.password) == (b"ferry", b"pass word/%40")
    return AuthResult(success=good, handled=False, auth_data=data.login.decode("utf-8"))


async def https(reader, writer):
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    length = next((int(l.split(":")[1]) for l in lines if l.lower().startswith("content-length:")), 0)
    keep(request=lines[0], content=(await reader.readexactly(length)).decode("utf-8"))
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    await writer.drain()
    writer.close()


async def main():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    def smtp():
        return SMTP(
            Clerk(),
            hostname="localhost",
            tls_context=context if kind == "starttls" else None,
            require_starttls=kind == "starttls",
            authenticator=authenticate,
            auth_required=True,
            auth_require_tls=kind == "starttls",
        )

    loop = asyncio.get_running_loop()
    if kind == "https":
        server = await asyncio.start_server(https, "127.0.0.1", 0, ssl=context)
    else:
        wrapped = context if kind == "smtps" else None
        server = await loop.create_server(smtp, "127.0.0.1", 0, ssl=wrapped)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
