#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Generates the Go code of the runtime from the .proto files of this crate. Rust code is generated
# by build.rs in every build and needs none of this.

set -eu

FILES="grpc/agent.proto grpc/csi.proto grpc/health.proto grpc/oci.proto types.proto"
EMPTY="Mgoogle/protobuf/empty.proto=google.golang.org/protobuf/types/known/emptypb"

# From the folder of the agent.
OUT="../runtime/virtcontainers/pkg/agent/protocols"
PROTOS="$(dirname "$0")/../protos"

die() {
	echo "$*" >&2
	exit 1
}

usage() {
	cat <<-EOF
	Usage: $(basename "$0") <all|FILE>

	all   generates the Go code of every file
	FILE  generates the Go code of one file, one of:
	$(printf '        %s\n' $FILES)

	Must be run from the folder of the agent, src/agent. Needs GOPATH, protoc, and the plugins
	protoc-gen-go and protoc-gen-go-ttrpc in PATH or in GOPATH/bin.
	EOF
}

is_known() {
	for known in $FILES; do
		[ "$known" = "$1" ] && return 0
	done
	return 1
}

# generate FILE: the folder of FILE is that of the Go package, the .proto files have none.
generate() {
	folder="$OUT"
	case "$1" in
	*/*) folder="$OUT/$(dirname "$1")" ;;
	esac
	echo "$1 -> $folder"
	mkdir -p "$folder"
	protoc --proto_path="$PROTOS" \
		--go_out="paths=source_relative,$EMPTY:$folder" \
		--go-ttrpc_out="paths=source_relative,$EMPTY:$folder" \
		"$(basename "$1")"
}

if [ $# -ne 1 ]; then
	usage
	exit 1
fi
case "$1" in
-h | --help)
	usage
	exit 0
	;;
all) targets="$FILES" ;;
*)
	is_known "$1" || die "unknown file $1, expected all or one of: $FILES"
	targets="$1"
	;;
esac

[ "$(basename "$(pwd)")" = "agent" ] ||
	die "Please go to root directory of agent before execute this shell"
[ -n "${GOPATH:-}" ] || die "GOPATH is not set"
PATH="$PATH:$GOPATH/bin"
for tool in protoc protoc-gen-go protoc-gen-go-ttrpc; do
	command -v "$tool" >/dev/null || die "$tool is not in PATH and not in $GOPATH/bin"
done

for file in $targets; do
	generate "$file"
done
