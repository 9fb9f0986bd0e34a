#!/bin/sh
# Creates a bucket in SeaweedFS, if it is not there: bucket.sh HOST BUCKET
set -eu
host=$1
bucket=$2

run() {
    printf '%s\n' "$1" | weed shell -master="$host:9333" -filer="$host:8888"
}

# A write is acknowledged when it is on the disk. A bucket grows by one volume, not by seven.
run "fs.configure -locationPrefix=/buckets/ -fsync -volumeGrowthCount=1 -apply"
run "s3.bucket.create -name $bucket"
# The shell ends with status 0 also if a command has failed, as for a bucket that is there.
run "s3.bucket.list" | grep -qw -- "$bucket"
