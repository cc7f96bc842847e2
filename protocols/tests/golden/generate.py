#!/usr/bin/env python3
"""Writes vectors.jsonl, the messages of the ttrpc services as Python encodes them.

usage: generate.py [--check]

The messages are built and encoded by the Python package `protobuf` from the .proto files of this
crate, compiled by `grpcio-tools`; nothing of the Rust code takes part. The output is the same in
every run; --check compares it with the file instead of writing it.

One line per message and case:

  message  full name
  case     full      every field has a value of its own
           empty     no field is set
           defaults  every field that can be present is, with its default; one default element in
                     each list and map
           unknown   as full, with fields and enum numbers that the message does not know, at every
                     level
  bytes    the encoding, in hexadecimal; fields in the order of their numbers
  text     the text format (not in the case unknown, where it would be lossy)
  json     the form that the feature `with-serde` gives, as one string
"""

import json
import os
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.descriptor import FieldDescriptor as Field

HERE = os.path.dirname(os.path.abspath(__file__))
PROTOS = os.path.join(HERE, "..", "..", "protos")
OUTPUT = os.path.join(HERE, "vectors.jsonl")
# The files whose services have stubs in the crate.
FILES = ["agent.proto", "confidential_data_hub.proto", "health.proto", "remote.proto"]

UNKNOWN_ENUM = 97
# Field 2001 as varint, 2002 as eight bytes, 2003 with a length, 2004 as four bytes.
UNKNOWN_FIELDS = bytes.fromhex("887d2a" "917d0102030405060708" "9a7d03616263" "a57dffffffff")

SIGNED = {Field.TYPE_INT32: -1, Field.TYPE_SINT32: -1, Field.TYPE_SFIXED32: -1,
          Field.TYPE_INT64: -(1 << 40), Field.TYPE_SINT64: -(1 << 40), Field.TYPE_SFIXED64: -(1 << 40)}
UNSIGNED = {Field.TYPE_UINT32: 1 << 20, Field.TYPE_FIXED32: 1 << 20,
            Field.TYPE_UINT64: 1 << 50, Field.TYPE_FIXED64: 1 << 50}
# Rust keywords get an underscore behind them.
KEYWORDS = {"type", "match", "move", "ref", "self", "use", "where", "fn", "impl", "loop", "mod"}


class Values:
    """Fills a message; every value is another one."""

    def __init__(self, case):
        self.case = case
        self.count = 0

    def fill(self, message):
        for field in message.DESCRIPTOR.fields:
            if is_map(field):
                self.fill_map(message, field)
            elif field.is_repeated:
                for _ in range(1 if self.case == "defaults" else 2):
                    self.append(message, field)
            elif field.type == Field.TYPE_MESSAGE:
                child = getattr(message, field.name)
                child.SetInParent()
                self.fill(child)
            elif self.case != "defaults" or field.has_presence:
                setattr(message, field.name, self.scalar(field))
        if self.case == "unknown":
            message.MergeFromString(UNKNOWN_FIELDS)

    def fill_map(self, message, field):
        key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
        entries = getattr(message, field.name)
        if value.type == Field.TYPE_MESSAGE:
            self.fill(entries[self.scalar(key)])
        else:
            entries[self.scalar(key)] = self.scalar(value)

    def append(self, message, field):
        elements = getattr(message, field.name)
        if field.type == Field.TYPE_MESSAGE:
            self.fill(elements.add())
        else:
            elements.append(self.scalar(field))

    def scalar(self, field):
        self.count += 1
        n, kind, default = self.count, field.type, self.case == "defaults"
        if kind == Field.TYPE_STRING:
            return "" if default else f"{field.name}-{n}-\u00e9\u4e16"
        if kind == Field.TYPE_BYTES:
            return b"" if default else bytes([0, 255, n % 256, n // 256])
        if kind == Field.TYPE_BOOL:
            return not default
        if kind == Field.TYPE_ENUM:
            values = field.enum_type.values
            if self.case == "unknown":
                return UNKNOWN_ENUM
            return values[0].number if default else values[1 + n % (len(values) - 1)].number
        if kind in SIGNED:
            return 0 if default else SIGNED[kind] - n
        if kind in UNSIGNED:
            return 0 if default else UNSIGNED[kind] + n
        raise SystemExit(f"{field.full_name}: no value for a field of this type")


def is_map(field):
    return field.type == Field.TYPE_MESSAGE and field.message_type.GetOptions().map_entry


def rust_name(name):
    return name + "_" if name in KEYWORDS else name


def json_form(message):
    """The JSON form of the crate, which is not that of protobuf."""
    form = {}
    for field in message.DESCRIPTOR.fields:
        if field.containing_oneof is None or is_optional(field):
            form[rust_name(field.name)] = field_form(message, field)
    for oneof in message.DESCRIPTOR.oneofs:
        if is_optional(oneof.fields[0]):
            continue
        member = message.WhichOneof(oneof.name)
        form[rust_name(oneof.name)] = None if member is None else {
            camel_case(member): element_form(message.DESCRIPTOR.fields_by_name[member],
                                             getattr(message, member))}
    return form


def is_optional(field):
    """Whether a field is `optional`, for which the descriptor has a oneof of its own."""
    oneof = field.containing_oneof
    return oneof is not None and oneof.name == "_" + field.name


def field_form(message, field):
    value = getattr(message, field.name)
    if is_map(field):
        element = field.message_type.fields_by_name["value"]
        return {str(key): element_form(element, value[key]) for key in value}
    if field.is_repeated:
        return [element_form(field, element) for element in value]
    if field.has_presence and not message.HasField(field.name):
        return None
    return element_form(field, value)


def element_form(field, value):
    if field.type == Field.TYPE_MESSAGE:
        return json_form(value)
    if field.type == Field.TYPE_BYTES:
        return list(value)
    return value


def camel_case(name):
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def service_messages(pool):
    """Every request and response, once, in the order of their names."""
    found = {}
    for path in FILES:
        services = pool.FindFileByName(path).services_by_name.values()
        for service in services:
            for method in service.methods:
                for descriptor in (method.input_type, method.output_type):
                    found[descriptor.full_name] = descriptor
    return [found[name] for name in sorted(found)]


def compile_protos():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "set")
        subprocess.run(
            [sys.executable, "-m", "grpc_tools.protoc", "-I", PROTOS, "--include_imports",
             f"--descriptor_set_out={path}", *FILES], check=True)
        with open(path, "rb") as file:
            descriptors = descriptor_pb2.FileDescriptorSet.FromString(file.read())
    pool = descriptor_pool.DescriptorPool()
    for descriptor in descriptors.file:
        pool.Add(descriptor)
    return pool


def vectors(pool):
    for descriptor in service_messages(pool):
        cls = message_factory.GetMessageClass(descriptor)
        for case in ("full", "empty", "defaults", "unknown"):
            message = cls()
            if case != "empty":
                Values(case).fill(message)
            vector = {
                "message": descriptor.full_name,
                "case": case,
                "bytes": message.SerializeToString(deterministic=True).hex(),
            }
            if case != "unknown":
                vector["text"] = text_format.MessageToString(message, as_one_line=True)
            form = json.dumps(json_form(message), ensure_ascii=False, separators=(",", ":"))
            yield json.dumps({**vector, "json": form}, ensure_ascii=False) + "\n"


def main():
    text = "".join(vectors(compile_protos()))
    if sys.argv[1:] == ["--check"]:
        with open(OUTPUT, encoding="utf-8") as file:
            if file.read() != text:
                sys.exit("vectors.jsonl is not what this script writes")
        return
    if sys.argv[1:]:
        sys.exit(__doc__)
    with open(OUTPUT, "w", encoding="utf-8") as file:
        file.write(text)


main()
