"""The least HTTP/2 that an honest probe needs: one request at a time, and what a server says when it goes away.

Kubernetes' clients speak HTTP/2 to the API. It matters for the proof: a server that ends an idle HTTP/1.1 connection
races the client's next request, and nobody can tell whether that request was begun. Here GOAWAY and REFUSED_STREAM
say so (RFC 9113 §6.8, §8.7), and 503 with Retry-After (RFC 9110 §10.2.3). Frames and header compression are
hyperframe's and hpack's; h2 on top of them takes a GOAWAY for the end of all streams, also of those the server still
answers.
"""

from __future__ import annotations

import asyncio

from hpack import Decoder, Encoder, HPACKError
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from proof.connection import Connection, NotProcessed, Phase, ProbeFailed, Request
from proof.http1 import Answer

PROTOCOL = "h2"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD = 9
_MAX_FRAME = 16 * 1024
_REFUSED_STREAM = 7
_UNAVAILABLE = 503


def request_fields(authority: str, path: str, token: str | None = None) -> tuple[tuple[str, str], ...]:
    """The one request a probe sends, as header fields."""
    shown = (("authorization", f"Bearer {token}"),) if token else ()
    return (
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", authority),
        (":path", path),
        ("user-agent", "proof"),
        ("accept", "*/*"),
        *shown,
    )


class Http2Connection(Connection):
    """HTTP/2 over TLS. A request that the server says it never began raises NotProcessed."""

    def __init__(self) -> None:
        super().__init__()
        self._encoder, self._decoder = Encoder(), Decoder()
        self._received = bytearray()
        self._stream = -1
        self._block = bytearray()
        self._block_ends_stream = False
        self._status = 0
        self._body = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._write(SettingsFrame(0, settings={SettingsFrame.ENABLE_PUSH: 0}), first=_PREFACE)

    def _write(self, frame: Frame, first: bytes = b"") -> None:
        assert self._transport is not None
        self._transport.write(first + frame.serialize())

    def _send(self, request: Request) -> None:
        self._stream += 2
        self._status = 0
        self._body.clear()
        block = self._encoder.encode(request.http2)
        self._write(HeadersFrame(self._stream, data=block, flags=["END_HEADERS", "END_STREAM"]))

    def _reached(self) -> Phase:
        return "body" if self._status else "answer"

    def _started(self) -> bool:
        return bool(self._block) or self._status != 0

    def data_received(self, data: bytes) -> None:
        self._received += data
        try:
            while len(self._received) >= _HEAD:
                frame, length = Frame.parse_frame_header(memoryview(bytes(self._received[:_HEAD])))
                if length > _MAX_FRAME:
                    raise HyperframeError(f"a frame of {length} bytes")
                if len(self._received) < _HEAD + length:
                    return
                frame.parse_body(memoryview(bytes(self._received[_HEAD : _HEAD + length])))
                del self._received[: _HEAD + length]
                self._take(frame)
        except (HyperframeError, HPACKError, ValueError) as error:
            self.ended = True
            self._fail(ProbeFailed("answer", f"malformed: {error or type(error).__name__}"))
            self.abort()

    def _take(self, frame: Frame) -> None:
        if isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            if SettingsFrame.HEADER_TABLE_SIZE in frame.settings:
                self._encoder.header_table_size = frame.settings[SettingsFrame.HEADER_TABLE_SIZE]
            self._write(SettingsFrame(0, flags=["ACK"]))
        elif isinstance(frame, PingFrame) and "ACK" not in frame.flags:
            self._write(PingFrame(0, opaque_data=frame.opaque_data, flags=["ACK"]))
        elif isinstance(frame, GoAwayFrame):
            self._goes_away(frame)
        elif isinstance(frame, (HeadersFrame, ContinuationFrame)):
            self._head(frame)
        elif frame.stream_id == self._stream and self._waiting:
            if isinstance(frame, DataFrame):
                self._data(frame)
            elif isinstance(frame, RstStreamFrame):
                self._reset(frame)

    def _goes_away(self, frame: GoAwayFrame) -> None:
        # No more requests on this connection. The one under way is answered if the server had begun it.
        self.ended = True
        if self._waiting and frame.last_stream_id < self._stream:
            self._fail(NotProcessed(f"the server went away after stream {frame.last_stream_id}"))

    def _reset(self, frame: RstStreamFrame) -> None:
        if frame.error_code == _REFUSED_STREAM:
            self._fail(NotProcessed("the server refused the stream"))
        else:
            self._fail(self._cut_off(f"reset by the server (HTTP/2 error {frame.error_code})"))

    def _head(self, frame: HeadersFrame | ContinuationFrame) -> None:
        if isinstance(frame, HeadersFrame):
            self._block_ends_stream = "END_STREAM" in frame.flags
        self._block += frame.data
        if "END_HEADERS" not in frame.flags:
            return
        # Every block is decoded, also one that nobody waits for: the next ones build on it.
        fields = dict(self._decoder.decode(bytes(self._block), raw=True))
        self._block.clear()
        if frame.stream_id != self._stream or not self._waiting:
            return
        status = int(fields.get(b":status", self._status))  # trailers have none
        if status < 200:
            return
        if status == _UNAVAILABLE and b"retry-after" in fields:
            # An API server that shuts down has stopped to handle requests some milliseconds before it sends GOAWAY
            # (`WithWaitGroup` in k8s.io/apiserver), and says so; Kubernetes' clients ask again then (`withRetry` in
            # client-go). Asked again on a new connection the same answer is a failure.
            self.ended = True
            self._fail(NotProcessed("the server asked to try again elsewhere (503 with Retry-After)"))
            return
        self._status = status
        if self._block_ends_stream:
            self._whole()

    def _data(self, frame: DataFrame) -> None:
        self._body += frame.data
        if frame.flow_controlled_length:
            self._write(WindowUpdateFrame(0, window_increment=frame.flow_controlled_length))
        if "END_STREAM" in frame.flags:
            self._whole()

    def _whole(self) -> None:
        self._succeed(Answer(status=self._status, body=bytes(self._body), closes=False))
