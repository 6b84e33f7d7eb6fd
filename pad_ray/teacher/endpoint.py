"""Teacher `openai`: any endpoint that speaks OpenAI's chat format, asked by as many calls at once as it bears.

One Request becomes one Sample whatever happens. Retries are made here, with the client's own switched off, because
only here is it known what a failed attempt cost and who else must slow down: each attempt waits for its place (`Pace`)
and for what it may take (`Allowance`), and is settled with what it really took.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Mapping
from urllib.parse import urlsplit

import aiohttp
import httpx2
import openai
from tenacity import AsyncRetrying, RetryCallState, wait_random_exponential

from pad_ray.errors import PadRayError, TeacherError
from pad_ray.records import Request, Sample
from pad_ray.teacher.allowance import Allowance
from pad_ray.teacher.bill import Bill, Reserved
from pad_ray.teacher.cache import Cache
from pad_ray.teacher.failure import Failure, Fate, of_status, shorten
from pad_ray.teacher.money import Price
from pad_ray.teacher.pace import Pace
from pad_ray.teacher.reply import LIMITS, Reply, body, broken, read

CONNECT_S = 10.0
"""Limit on opening a connection: nothing was asked yet, so nothing is lost by giving up early."""
MOST_IN_VAIN = 5
"""Attempts of one request that are billed without a usable reply before it is left to the next run."""
LEAST_CALL = 0.1
"""No call starts that would have less than this part of its time before the deadline: it would be paid for in vain."""
_BACK_OFF = AsyncRetrying(wait=wait_random_exponential(multiplier=0.5, max=60))  # full jitter
# Of the client's many errors those that are raised before anything was sent.
_NEVER_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
    httpx2.InvalidURL,
    httpx2.UnsupportedProtocol,
    httpx2.LocalProtocolError,
)


class EndpointTeacher:
    """Asks one endpoint. All its calls share one client, and so its open connections."""

    def __init__(
        self,
        base_url: str,
        key: str,
        *,
        prices: Mapping[str, Price],
        allowance: Allowance,
        pace: Pace,
        timeout_s: float = 120.0,
        deadline_s: float = 900.0,
        cache: Cache | None = None,
    ) -> None:
        """`prices` by model; an empty key is sent as EMPTY. Raises TeacherError for what cannot be a URL or a key."""
        self._url = plain_url(base_url)
        self._secrets = [secret for secret in (key.strip(), urlsplit(base_url).password) if secret]
        self._prices, self._allowance, self._pace, self._cache = prices, allowance, pace, cache
        self._timeout_s, self._deadline_s = timeout_s, deadline_s
        self._answered, self._thinking = set[str](), set[str]()
        self._client = openai.AsyncOpenAI(
            base_url=base_url,
            api_key=sendable(key.strip()) or "EMPTY",
            max_retries=0,
            http_client=openai.DefaultAioHttpClient(
                timeout=httpx2.Timeout(None, connect=CONNECT_S),
                # 0 is no limit: the pace limits the calls, a second one would let them wait while their time runs.
                limits=httpx2.Limits(max_connections=0, keepalive_expiry=5),
            ),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def sample(self, requests: Iterable[Request], reserved: Reserved | None = None) -> AsyncGenerator[Sample]:
        """Yield exactly one Sample per Request, in finishing order.

        `reserved` is told before the calls what they may cost; after it was called for a request, its Sample follows
        unless this process dies. When nothing may start any more, what is in flight is finished and yielded first;
        then BudgetReached or TeacherError is raised, and requests that were never asked have no Sample.
        """
        stop = _Stop()
        tasks = [asyncio.create_task(self._answer(request, reserved or _untold, stop)) for request in requests]
        try:
            for finished in asyncio.as_completed(tasks):
                if (sample := await finished) is not None:
                    yield sample
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if stop.error is not None:
            raise stop.error

    async def _answer(self, request: Request, reserved: Reserved, stop: _Stop) -> Sample | None:
        if self._cache is not None and (kept := await self._cache.get(request)) is not None:
            return kept
        sample = await self._ask(request, reserved, stop)
        if self._cache is not None and sample is not None and not sample.error:
            await self._cache.put(request, sample)
        return sample

    async def _ask(self, request: Request, reserved: Reserved, stop: _Stop) -> Sample | None:
        """Call until there is a reply, or no point in calling; None if it never came to a call."""
        bill, last = Bill(request, self._prices[request.model]), ""
        deadline = latest = float("inf")
        while True:
            async with self._pace.slot(again=bill.attempts > 0):
                try:
                    await self._allowance.reserve(*bill.worst)
                except PadRayError as error:
                    stop.because(error)
                    return bill.failed(f"{last}; then {error}", transient=True) if bill.attempts else None
                began = time.monotonic()
                if began > latest:
                    self._allowance.settle(*bill.worst, spent_usd=0.0, used_tokens=0)
                    return self._late(bill, last)
                if not bill.attempts:
                    deadline = began + self._deadline_s
                    latest = deadline - LEAST_CALL * min(self._timeout_s, self._deadline_s)
                bill.attempt(reserved)
                result = await self._call(request, min(self._timeout_s, deadline - began), bill)
            ended = time.monotonic()
            if isinstance(result, Reply):
                return bill.answered(result, ended - began)
            last = result.sentence
            if result.fate is Fate.ALL:
                stop.because(TeacherError(last))
            if result.fate is not Fate.AGAIN:
                return bill.failed(last, transient=result.fate is Fate.ALL)
            if bill.in_vain >= MOST_IN_VAIN:
                return bill.failed(
                    f"{bill.in_vain} replies were paid for in vain; the last one: {last}", transient=True
                )
            wait = max(_jitter(bill.attempts), result.retry_after_s or 0.0)
            if ended + wait > latest:
                return self._late(bill, last)
            await stop.sleep(wait)

    def _late(self, bill: Bill, last: str) -> Sample:
        return bill.failed(f"no reply within {self._deadline_s:g} s; the last call: {last}", transient=True)

    async def _call(self, request: Request, timeout_s: float, bill: Bill) -> Reply | Failure:
        """One call, settled, and told to all whom it concerns; what is no reply comes back as a Failure."""
        began = time.monotonic()
        try:
            result = await self._exchange(request, timeout_s)
        except asyncio.CancelledError:
            self._settle(bill, None)  # nobody will know what it cost
            raise
        self._settle(bill, result)
        return self._tell(request.model, result, began)

    def _settle(self, bill: Bill, result: Reply | Failure | None) -> None:
        usd, tokens = bill.book(result)
        self._allowance.settle(*bill.worst, spent_usd=usd, used_tokens=tokens)

    def _tell(self, model: str, result: Reply | Failure, began: float) -> Reply | Failure:
        if isinstance(result, Reply) and not result.fault:
            self._answered.add(model)
            self._pace.succeeded()
            self._allowance.succeeded()
            return result
        failure = Failure(result.fault) if isinstance(result, Reply) else result
        told = failure.sentence
        if failure.fate is Fate.ALL:
            told = f"the teacher refuses every call: {told} (teacher.model {model!r} at {self._url}). {failure.mend}"
        failure = failure._replace(sentence=self._scrubbed(told))
        if failure.slower:
            self._pace.throttled(began, failure.retry_after_s)
        if failure.cool_down:
            self._allowance.throttled(failure.retry_after_s)
        self._allowance.failed(failure.sentence, fatal=failure.fate is Fate.ALL)
        return failure

    async def _exchange(self, request: Request, timeout_s: float) -> Reply | Failure:
        """Send the request and read what comes back. Streamed, so that the part of a reply that came is not lost."""
        model, received = request.model, bytearray()
        limit = LIMITS[model in self._thinking]
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._client.post(
                    "/chat/completions",
                    cast_to=httpx2.Response,
                    content=body(request, limit),
                    stream=True,
                    stream_cls=openai.AsyncStream[object],
                )
                assert isinstance(response, httpx2.Response)
                try:
                    async for part in response.aiter_bytes():
                        received += part
                finally:
                    await response.aclose()
        except openai.APIStatusError as error:
            if error.code == "unsupported_parameter" and error.param == limit == LIMITS[0]:
                self._thinking.add(model)
                return Failure(f"the model wants {LIMITS[1]}", billed=False)
            answer = error.response
            return of_status(
                answer.status_code, answer.headers, answer.text, answered=model in self._answered, now=time.time()
            )
        except TimeoutError:
            return Failure(f"no answer within {timeout_s:g} s", slower=True)
        except Exception as error:  # Of the client, its transport, TLS, a proxy …: a failed call is one row, no more.
            return _broken_off(error, bytes(received))
        return read(bytes(received))

    def _scrubbed(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


class _Stop:
    """Why the requests of one `sample` stop, once they do."""

    def __init__(self) -> None:
        self.error: PadRayError | None = None
        self._event = asyncio.Event()

    def because(self, error: PadRayError) -> None:
        """Stop; a teacher that refuses everything is the better reason."""
        if self.error is None or isinstance(error, TeacherError):
            self.error = error
        self._event.set()

    async def sleep(self, seconds: float) -> None:
        """Wait, but not longer than there is something to wait for."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return


def _broken_off(error: Exception, received: bytes) -> Reply | Failure:
    causes = [error]
    while isinstance(cause := causes[-1].__cause__, Exception):
        causes.append(cause)
    told = shorten(str(causes[-1])) or type(causes[-1]).__name__
    if any(isinstance(cause, _NEVER_SENT) for cause in causes):
        return Failure(f"no connection: {told}", billed=False)
    return broken(received, f"the connection broke: {told}")


def _jitter(attempts: int) -> float:
    state = RetryCallState(_BACK_OFF, None, (), {})
    state.attempt_number = attempts
    return _BACK_OFF.wait(state)


def plain_url(base_url: str) -> str:
    """An endpoint's URL without the password it may hold. Raises TeacherError for what is no such URL."""
    address = urlsplit(base_url)
    url = f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path}"
    if address.scheme not in ("http", "https") or not address.netloc:
        raise TeacherError(f"teacher.base_url: {url!r} must begin with http:// or https:// and a host.")
    return url


def sendable(key: str) -> str:
    """The key as it is. Raises TeacherError for one that cannot be put into a header; it is not shown."""
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise TeacherError("OPENAI_API_KEY: the key holds a blank, or a character that cannot be sent; give it anew.")
    return key


def _untold(request: Request, usd: float, tokens: int) -> None:
    """Nobody keeps a journal."""
