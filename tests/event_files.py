"""What TensorBoard reads of the event files of a folder."""

import struct
from importlib import import_module

START = 1  # of a session, in SessionLog


def records(content):
    """The whole records of a TFRecord file, whose checksums are right."""
    masked_crc32c = import_module("tensorboardX.record_writer").masked_crc32c
    while len(content) > 16:
        length, size = content[:8], struct.unpack("<Q", content[:8])[0]
        if len(content) < size + 16:  # the rest was not written
            return
        data, checksums = content[12:][:size], content[8:12] + content[12 + size :][:4]
        expected = (masked_crc32c(part) for part in (length, data))
        assert struct.unpack("<II", checksums) == tuple(expected)
        yield data
        content = content[size + 16 :]


def events(folder):
    """[(step, name, kind, value)] of all sessions, as a reader purges them."""
    Event = import_module("tensorboardX.proto.event_pb2").Event
    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        first, *others = map(Event.FromString, records(path.read_bytes()))
        assert first.file_version == "brain.Event:2"
        for event in others:
            if event.session_log.status == START:
                found = [one for one in found if one[0] < event.step]
            for value in event.summary.value:
                kind = value.WhichOneof("value")
                found.append((event.step, value.tag, kind, getattr(value, kind)))
    return found
