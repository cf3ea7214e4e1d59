"""A remote in memory and its connector: the reference for what a connector must do.

It speaks no protocol: its endpoints are methods, its warts are switches, its clock is given. Engine tests run long
random histories against it, and the conformance kit proves itself on it. `Profile` says what a remote can hold and
promise; `addressbook`, `crm`, `mailer` and `lister` are four that cover what real systems differ in.
"""

from connectors.memory.connector import MemoryConnector
from connectors.memory.mapping import ROW, Cells, Profile, Slot, addressbook, crm, lister, mailer
from connectors.memory.remote import MemoryRemote, Status, Write, tidy_phones, without

__all__ = [
    "ROW",
    "Cells",
    "MemoryConnector",
    "MemoryRemote",
    "Profile",
    "Slot",
    "Status",
    "Write",
    "addressbook",
    "crm",
    "lister",
    "mailer",
    "tidy_phones",
    "without",
]
