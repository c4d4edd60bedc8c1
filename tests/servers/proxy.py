"""A network that tests can take away."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Self

from servers.process import HOST, free_port


class Proxy:
    """TCP in front of a server, to take the network away from those who come through it."""

    def __init__(self, target_port: int, delay: float = 0) -> None:
        """What the server says arrives `delay` seconds later."""
        self._target_port = target_port
        self._delay = delay
        self.port = free_port()
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Future[Any]] = set()

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._open = asyncio.Event()
        self._open.set()
        self._in_loop(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._in_loop(self._hang_up())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def forward(self) -> None:
        """As if it were not there; what was dropped arrives now, as TCP sends it again."""
        if not self._server.is_serving():
            self._in_loop(self._listen())
        self._loop.call_soon_threadsafe(self._open.set)

    def drop_packets(self) -> None:
        """Connections open and stay open, and nothing comes through."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def refuse(self) -> None:
        """Cut all connections, and let nobody connect."""
        self._in_loop(self._hang_up())

    def _in_loop(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, HOST, self.port, backlog=512)

    async def _hang_up(self) -> None:
        self._server.close()
        self._open.set()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target_reader, target_writer = await asyncio.open_connection(HOST, self._target_port)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, target_writer}
        self._writers |= pair
        self._serving.add(
            serving := asyncio.gather(self._pump(reader, target_writer), self._pump(target_reader, writer, self._delay))
        )
        await serving
        self._serving.discard(serving)
        self._writers -= pair

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float = 0) -> None:
        try:
            while data := await reader.read(65536):
                await self._open.wait()
                if delay:
                    self._loop.call_later(delay, writer.write, data)
                else:
                    writer.write(data)
                    await writer.drain()
        except OSError:
            pass  # cut, by us or by the other side
        finally:
            writer.close()
