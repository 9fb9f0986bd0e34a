#!/bin/sh
# Creates a bucket of Iceberg tables in SeaweedFS, if it is not there: bucket.sh HOST BUCKET
set -eu
host=$1
bucket=$2

run() {
    printf '%s\n' "$1" | weed shell -master="$host:9333" -filer="$host:8888"
}

# A write is acknowledged when it is on the disk. A bucket grows by one volume, not by seven.
run "fs.configure -locationPrefix=/buckets/ -fsync -volumeGrowthCount=1 -apply"
run "s3tables.bucket -create -name $bucket -account 000000000000"
# The shell ends with status 0 also if a command has failed, as for a bucket that is there.
run "s3tables.bucket -list -account 000000000000" | grep -qw -- "$bucket"
