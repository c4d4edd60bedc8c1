"""Stands in for Redis in development, at the address of REDIS_URL, where no server answers there.

It keeps everything in memory, for as long as it runs.
"""

import signal
import socket
from urllib.parse import urlsplit

from fakeredis import TcpFakeServer

from app.core.config.redis import get_redis_settings


def main() -> None:
    url = urlsplit(get_redis_settings().url)
    address = (url.hostname or "127.0.0.1", url.port or 6379)
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        print(f"embedded Redis on {address[0]}:{address[1]}", flush=True)
        server = TcpFakeServer(address)
        server.daemon_threads = True  # it ends although clients are still there
        server.serve_forever()
    print(f"using the Redis that answers on {address[0]}:{address[1]}", flush=True)
    signal.pause()  # the other processes end with this one


if __name__ == "__main__":
    main()
