"""The server for all contestants: nginx, over plain HTTP and over TLS 1.3, in its own folder.

nginx answers from memory with one worker. It was chosen for its speed, so that the clients are what
is measured; the report shows how close it came to being the limit.
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPLY = (
    '{"status":"200","description":"Operation successful",'
    '"response_time":"2024-08-06T07:51:52.2581942Z","data":{"Id":94382332}}'
)

# A plain "return" would answer before the body has arrived. A mirror makes nginx read the body
# first; the mirror is a subrequest within the process, with an empty answer. An empty GIF does not
# accept POST, and its status 405 is redirected to the reply.
CONFIGURATION = """
daemon off;
master_process off;
pid nginx.pid;
error_log error.log crit;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{http} backlog=2048;
        listen 127.0.0.1:{https} ssl;
        ssl_protocols TLSv1.3;
        ssl_certificate server.pem;
        ssl_certificate_key server.key;
        location = /status {{ stub_status; }}
        location = /mirror {{ internal; return 204; }}
        location /users/ {{
            mirror /mirror;
            empty_gif;
            error_page 405 =200 @reply;
        }}
        location @reply {{
            default_type application/json;
            return 200 '{reply}';
        }}
    }}
}}
"""

SYSTEM_ROOTS = Path("/etc/ssl/certs/ca-certificates.crt")


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports


def make_certificates(folder: Path) -> int:
    """Creates a root and a certificate for 127.0.0.1. `trust.pem` contains this root and those of
    the system, whose number is returned.

    A first call thus reads as many roots as in production.
    """

    def make(name: str, *arguments: str) -> None:
        key = [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            f"{name}.key",
        ]
        command = ["openssl", "req", "-x509", *key, "-out", f"{name}.pem", "-days", "2", *arguments]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)

    make("root", "-subj", "/CN=Bench root")
    leaf = [
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ]
    make("server", "-CA", "root.pem", "-CAkey", "root.key", "-subj", "/CN=127.0.0.1", *leaf)
    roots = (folder / "root.pem").read_text()
    if SYSTEM_ROOTS.exists():
        roots += SYSTEM_ROOTS.read_text()
    (folder / "trust.pem").write_text(roots)
    return roots.count("BEGIN CERTIFICATE")


class Server:
    def __init__(self, nginx: str, folder: Path) -> None:
        self.roots = make_certificates(folder)
        self.trust = str(folder / "trust.pem")
        self._port, tls_port = free_ports(2)
        self.urls = {
            "http": f"http://127.0.0.1:{self._port}",
            "https": f"https://127.0.0.1:{tls_port}",
        }
        self._own = 0
        configuration = CONFIGURATION.format(http=self._port, https=tls_port, reply=REPLY)
        (folder / "nginx.conf").write_text(configuration)
        self._log = folder / "start.log"
        command = [nginx, "-p", f"{folder}/", "-c", "nginx.conf", "-e", "error.log"]
        self._process = subprocess.Popen(
            command, stderr=self._log.open("w"), stdin=subprocess.DEVNULL
        )

    def __enter__(self) -> Server:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port)).close()
                break
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self._process.kill()
                    raise SystemExit(f"nginx did not start: {self._log.read_text()}") from None
                time.sleep(0.05)
        self._check_that_it_reads_the_body()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    def requests(self) -> int:
        """Returns the number of requests that the server has received, except those of this
        function.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self._port)
        connection.request("GET", "/status")
        figures = re.search(r"^ \d+ \d+ (\d+)", connection.getresponse().read().decode(), re.M)
        connection.close()
        self._own += 1
        assert figures is not None
        return int(figures[1]) - self._own

    @property
    def pid(self) -> int:
        return self._process.pid

    @contextmanager
    def halted(self) -> Iterator[None]:
        """Halts the server: the system accepts connections and requests meanwhile, and nobody
        answers.
        """
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _check_that_it_reads_the_body(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as client:
            client.sendall(b"POST /users/1 HTTP/1.1\r\nHost: bench\r\nContent-Length: 2\r\n\r\n{")
            client.settimeout(0.2)
            try:
                early = client.recv(4096)
            except TimeoutError:
                early = b""
            client.settimeout(5)
            client.sendall(b"}")
            if early or not client.recv(4096).startswith(b"HTTP/1.1 200 "):
                raise SystemExit("nginx answers before it has read the body")
