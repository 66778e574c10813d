#!/bin/sh
# Install programs that some tests need, if root can: `apt_packages.sh ruby bundle=ruby-bundler`.
# Without them those tests are skipped, so this fails nothing. No service is started.
command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || exit 0
for word; do # the command, and its package where that has another name
    command -v "${word%%=*}" >/dev/null || missing="$missing ${word#*=}"
done
[ "$missing" ] || exit 0

echo "installing$missing, once"
policy=/usr/sbin/policy-rc.d # 101: Debian's packages may not start their services
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
fi
apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=0 -o Acquire::http::Timeout=20 "$@"
}
install() {
    # shellcheck disable=SC2086  # several words
    apt install --yes --no-install-recommends $missing
}
{ install || { apt update && install; }; } </dev/null >/dev/null 2>&1 ||
    echo "cannot install$missing: its tests are skipped"
exit 0
