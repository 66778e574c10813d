#!/bin/sh
# Unpack packages of Debian for the tests: `apt_unpacked.sh FOLDER PACKAGE...`. They are not
# installed: an anacron would take over the machine's cron.daily. Without them their tests are
# skipped, so this fails nothing.
command -v apt-get >/dev/null && command -v dpkg >/dev/null || exit 0
mkdir -p "$1" && cd "$1" && shift || exit 0
apt() {
    apt-get -qq -o Acquire::Retries=0 -o Acquire::http::Timeout=20 "$@" >/dev/null 2>&1
}
apt download "$@" || { apt update && apt download "$@"; } || echo "cannot get $*: its tests are skipped"
for package in *.deb; do
    [ ! -f "$package" ] || dpkg -x "$package" .
done
exit 0
