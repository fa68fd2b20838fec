"""What goes wrong below consensus: on the disk and on the wire. (Errors of requests are in `interface`.)

StorageError               the member cannot start, or must stop
├── Corrupted              a file is damaged where no crash can have damaged it; the text says file and offset
├── WrongMember            the data directory belongs to another member or cluster
├── CannotJoin             no member of the running cluster answered
├── DataDirLocked          another process uses the data directory
└── DiskFailed             a write or sync failed; what was not acknowledged may be lost, so the member stops
ProtocolError              a peer sent what no member sends; its connection is closed
"""

from __future__ import annotations


class StorageError(Exception): ...


class Corrupted(StorageError):
    def __init__(self, path: object, offset: int, why: str) -> None:
        super().__init__(f"{path} is corrupt at offset {offset}: {why}")
        self.path = path
        self.offset = offset


class WrongMember(StorageError): ...


class CannotJoin(StorageError): ...


class DataDirLocked(StorageError): ...


class DiskFailed(StorageError): ...


class ProtocolError(Exception): ...
