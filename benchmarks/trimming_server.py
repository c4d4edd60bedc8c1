"""The API, which at SIGUSR1 gives back what memory it does not use; event_streams.py puts this file into a service."""

import ctypes
import gc
import signal
import sys

import uvicorn


def trim(*_: object) -> None:
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    print("trimmed", flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, trim)
    uvicorn.run("app.main:app", port=int(sys.argv[1]), access_log=False)
