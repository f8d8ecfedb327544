"""For asyncio hosts: what blocks is awaited. Callbacks still come on threads of the library."""
import asyncio
import concurrent.futures
import functools
import threading
from types import TracebackType
from typing import Any, Callable, List, Optional, Type, TypeVar, Union

from .engine import Cancel, Engine, Items
from .values import Enqueued, Hit, IdleReport, Rows, SpecStatus

T = TypeVar("T")


def _in_own_thread(function: Callable[[], T]) -> "asyncio.Future[T]":
    """On a daemon thread: the interpreter does not wait for it at its end, but closes the engine, which ends the wait.
    And waits that last take no thread from one another."""
    loop = asyncio.get_running_loop()
    future: "asyncio.Future[T]" = loop.create_future()

    def answer(result: Optional[T], error: Optional[BaseException]) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result: Optional[T] = None
        raised: Optional[BaseException] = None
        try:
            result = function()
        except BaseException as error:  # pylint: disable=broad-exception-caught
            raised = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(answer, result, raised)

    threading.Thread(target=run, name="embedjobs-wait", daemon=True).start()
    return future


class AsyncEngine:
    """An `Engine` whose blocking calls are coroutines. `engine` is the one beneath, for everything else."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        self.engine = Engine(*arguments, **keywords)
        self._threads = concurrent.futures.ThreadPoolExecutor(thread_name_prefix="embedjobs")  # not of the loop's few
        self._closed = False

    async def __aenter__(self) -> "AsyncEngine":
        try:
            await self.start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                        trace: Optional[TracebackType]) -> None:
        await self.close()

    async def _run(self, function: Callable[..., T], *arguments: Any, **keywords: Any) -> T:
        call = functools.partial(function, *arguments, **keywords)
        if self._closed:  # what the engine says of that takes no time
            return call()
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def start(self) -> None:
        await self._run(self.engine.start)

    async def stop(self, deadline: Optional[float] = None) -> bool:
        return await self._run(self.engine.stop, deadline)

    async def close(self) -> None:
        await self._run(self.engine.close)
        self._closed = True
        self._threads.shutdown(wait=False)

    async def wait_idle(self, max_wait: float = 60.0, *, timeout: Optional[float] = None) -> IdleReport:
        """As Engine.wait_idle. A task that is cancelled ends its wait in C, too."""
        cancel = Cancel()
        wait = _in_own_thread(functools.partial(self.engine.wait_idle, max_wait, timeout=timeout, cancel=cancel))
        try:
            return await asyncio.shield(wait)
        except asyncio.CancelledError:
            cancel.request()
            # What it says is told by the cancellation.
            wait.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            await asyncio.wait([wait])
            raise

    async def put(self, catalog_id: str, spec_name: str, content: Union[str, bytes]) -> Enqueued:
        return await self._run(self.engine.put, catalog_id, spec_name, content)

    async def put_items(self, catalog_id: str, spec_name: str, items: Items) -> Enqueued:
        return await self._run(self.engine.put_items, catalog_id, spec_name, items)

    async def remove(self, catalog_id: str, spec_name: str) -> None:
        await self._run(self.engine.remove, catalog_id, spec_name)

    async def search(self, catalog_id: str, query: str, k: int = 5) -> List[Hit]:
        return await self._run(self.engine.search, catalog_id, query, k)

    async def statuses(self, catalog_id: Optional[str] = None) -> List[SpecStatus]:
        return await self._run(self.engine.statuses, catalog_id)

    async def rows(self, catalog_id: str, spec_name: str, *, with_vectors: bool = True) -> Rows:
        return await self._run(self.engine.rows, catalog_id, spec_name, with_vectors=with_vectors)
