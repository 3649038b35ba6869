#!/usr/bin/env bash
# Builds the app's image from the Dockerfile without a Docker engine and without a
# registry, and runs it: for this machine's architecture all of it, for the other one as
# far as the image. A few packages of Debian stand in for the two images that the
# Dockerfile starts from; a small init stands in for s6-overlay's and keeps to its rules
# for services. Needs root. IMAGE_CACHE names a folder that keeps the Debian.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${IMAGE_CACHE:-/var/cache/hearthmq-image}
work=$(mktemp -d)
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot CONTAINERS_CONF=$work/containers.conf
image=localhost/hearthmq:test
name=hearthmq-test-$$

say() { printf '== %s (%ss)\n' "$*" "$SECONDS"; }
fail() {
  echo "image-test: $*" >&2
  exit 1
}
tidy() {
  podman rm -f -t 0 "$name" > /dev/null 2>&1 || true
  rm -rf "$work"
}
trap tidy EXIT

# ---- what it takes

missing=()
for tool in buildah podman runc mmdebstrap; do
  command -v "$tool" > /dev/null || missing+=("$tool")
done
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing+=(debian-archive-keyring)
if [ ${#missing[@]} -gt 0 ]; then
  say "Installing ${missing[*]}"
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" netavark > "$work/apt.log" 2>&1 ||
    { cat "$work/apt.log" >&2; exit 1; }
fi
cat > "$CONTAINERS_CONF" <<'CONF'
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=8192:8192"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
CONF
mkdir -p "$cache"

# ---- images to start from

base=$(sed -n 's/^ARG BUILD_FROM=//p' Dockerfile)
golang=$(sed -n 's/^FROM .*\(docker.io[^ ]*golang[^ ]*\) AS build$/\1/p' Dockerfile)
if [ -z "$base" ] || [ -z "$golang" ]; then fail "the Dockerfile does not start from what it used to"; fi

if [ ! -s "$cache/debian.tar" ]; then
  say "Making a Debian"
  # Unpacked and not installed: nothing in there has to be set up to run.
  mmdebstrap --mode=root --variant=extract --skip=check/empty \
    --include=dash,coreutils,grep,sed,libc-bin,base-files,ca-certificates,s6,execline bookworm "$cache/debian.new.tar" \
    "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" > "$work/debian.log" 2>&1 || { tail -20 "$work/debian.log" >&2; exit 1; }
  mv "$cache/debian.new.tar" "$cache/debian.tar"
fi

say "Standing in for $base"
mkdir -p "$work/base/command"
cat > "$work/base/init" <<'INIT'
#!/bin/sh
# As s6-overlay: runs each longrun that /etc/s6-overlay/s6-rc.d/user names, and ends the
# container with what its finish script says.
set -eu
rc=/etc/s6-overlay/s6-rc.d
results=/run/s6-linux-init-container-results
mkdir -p /run/service $results /run/s6/basedir/bin /run/s6/container_environment
echo 0 > $results/exitcode
env | while IFS='=' read -r key value; do
  printf '%s' "$value" > "/run/s6/container_environment/$key"
done
printf '#!/bin/sh\nkill -TERM 1\n' > /run/s6/basedir/bin/halt
chmod +x /run/s6/basedir/bin/halt
stop() {
  for s in /run/service/*; do
    s6-svc -wD -T 16000 -d "$s" || true
    s6-svc -x "$s" || true
  done
  wait
  exit "$(cat $results/exitcode)"
}
trap stop TERM INT
for member in "$rc"/user/contents.d/*; do
  s=${member##*/}
  [ "$(cat "$rc/$s/type")" = longrun ]
  [ -e "$rc/$s/dependencies.d/base" ]
  mkdir -p "/run/service/$s"
  cp "$rc/$s/run" "$rc/$s/finish" "/run/service/$s/"
  [ ! -e "$rc/$s/timeout-kill" ] || cp "$rc/$s/timeout-kill" "/run/service/$s/"
  s6-supervise "/run/service/$s" &
done
while :; do wait; done
INIT
printf '#!/bin/sh\nexec s6-envdir -fn -- /run/s6/container_environment "$@"\n' > "$work/base/command/with-contenv"
chmod +x "$work/base/init" "$work/base/command/with-contenv"
ctr=$(buildah from scratch)
buildah add -q "$ctr" "$cache/debian.tar" / > /dev/null
buildah copy -q "$ctr" "$work/base" / > /dev/null
buildah config --entrypoint '["/init"]' --cmd '' "$ctr"
buildah commit -q --format docker "$ctr" "$base" > /dev/null

say "Standing in for $golang"
# Go itself is lent, and so are the modules: the build needs no network.
go mod download
buildah config --env PATH=/usr/local/go/bin:/usr/bin:/bin --env GOPATH=/go --env GOTOOLCHAIN=local --env GOSUMDB=off \
  --env GOPROXY=file:///go/pkg/mod/cache/download --env GOCACHE=/root/.cache/go-build --entrypoint '' "$ctr"
buildah commit -q --format docker "$ctr" "$golang" > /dev/null
buildah rm "$ctr" > /dev/null

# ---- the image

# Buildah before 1.32 does not know --start-interval.
sed 's/ --start-interval=[^ ]*//' Dockerfile > "$work/Dockerfile"
version=$(sed -n 's/^version: "\(.*\)"$/\1/p' config.yaml)
for arch in amd64 arm64; do
  say "Building for $arch"
  hass=$arch
  [ "$arch" = amd64 ] || hass=aarch64
  buildah bud -q --pull-never --format docker --file "$work/Dockerfile" --volume "$(go env GOROOT):/usr/local/go:ro" \
    --volume "$(go env GOMODCACHE):/go/pkg/mod" --volume "$(go env GOCACHE):/root/.cache/go-build" --build-arg BUILD_VERSION="$version" --build-arg BUILD_ARCH="$hass" \
    --build-arg TARGETARCH="$arch" --tag "$image-$arch" . > /dev/null
done
go_arch=$(go env GOARCH)
image=$image-$go_arch

size=$(podman image inspect --format '{{.Size}}' "$image")
before=$(podman image inspect --format '{{.Size}}' "$base")
added=$((size - before))
say "The image adds $added bytes to its base"
[ "$added" -lt 25000000 ] || fail "that is more than 25 MB"
for label in "io.hass.type=app" "io.hass.version=$version"; do
  got=$(podman image inspect --format "{{index .Labels \"${label%%=*}\"}}" "$image")
  [ "$got" = "${label#*=}" ] || fail "label ${label%%=*} is \"$got\""
done

# ---- the container

mkdir -p "$work/data"
echo '{"log_level": "info", "logins": []}' > "$work/data/options.json"
up() {
  podman run -d --name "$name" --network none -v "$work/data:/data" -e SUPERVISOR_TOKEN=none -e SUPERVISOR_API=http://127.0.0.1:9 \
    -e TZ=Europe/Vienna "$@" "$image" > /dev/null
}
healthy() {
  for _ in $(seq 120); do
    if podman healthcheck run "$name" > /dev/null 2>&1; then return; fi
    [ "$(podman inspect --format '{{.State.Running}}' "$name")" = true ] || break
    sleep 0.5
  done
  podman logs "$name" >&2
  fail "the container does not become healthy"
}
ends() { # WANT: exit code
  local began=$SECONDS code
  podman stop -t 20 "$name" > /dev/null
  [ $((SECONDS - began)) -le 10 ] || fail "stopping took $((SECONDS - began)) s"
  code=$(podman inspect --format '{{.State.ExitCode}}' "$name")
  [ "$code" = "$1" ] || { podman logs "$name" >&2; fail "the container ended with $code instead of $1"; }
  podman rm "$name" > /dev/null
}

say "Running"
up
healthy
podman exec "$name" /usr/bin/hearthmq user add lamp --generate --data /data > /dev/null
podman exec "$name" /usr/bin/hearthmq backup pre --data /data
[ -s "$work/data/backup/hearthmq.db" ] || fail "there is no copy for the Supervisor's backup"
podman exec "$name" /usr/bin/hearthmq backup post --data /data
say "Ending in order"
ends 0

say "Starting again, with a root that is read-only"
up --read-only --tmpfs /run:exec --tmpfs /tmp
healthy
podman exec "$name" /usr/bin/hearthmq user list --data /data | grep -q lamp || fail "/data did not survive"
say "Killing the broker"
podman exec "$name" sh -c 's6-svc -k /run/service/hearthmq'
code=$(timeout 30 podman wait "$name")
[ "$code" = 137 ] || fail "the container ended with $code after its broker was killed"
podman rm "$name" > /dev/null

say "The image is good"
