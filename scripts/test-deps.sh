#!/usr/bin/env bash
# Installs what the tests use beside Go, where it is missing: Chromium for the
# admin's tests, mosquitto_pub and mosquitto_sub and Python's paho as clients that
# others wrote, Mosquitto to compare with and HAProxy to stand in front (no service is
# started), openssl to tap on doors, strace to make disks fail. Without a package manager it knows, it says what to install.
set -euo pipefail

missing=()
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ||
  missing+=(chromium chromium-sandbox fonts-dejavu-core)
if ! command -v mosquitto_pub >/dev/null || ! command -v mosquitto_sub >/dev/null; then
  missing+=(mosquitto-clients)
fi
command -v openssl >/dev/null || missing+=(openssl)
command -v zbarimg >/dev/null || missing+=(zbar-tools) # reads QR codes
[ -x /usr/sbin/haproxy ] || missing+=(haproxy)
[ -x /usr/sbin/mosquitto ] || missing+=(mosquitto)
if ! /usr/bin/python3 -c 'import paho.mqtt.client' 2>/dev/null; then
  missing+=(python3-paho-mqtt)
fi
/usr/bin/python3 -c 'import yaml' 2>/dev/null || missing+=(python3-yaml) # the app's package is read with it
[ -x /usr/sbin/apparmor_parser ] || missing+=(apparmor)                  # and its profile tried
for linter in shellcheck yamllint; do
  command -v "$linter" >/dev/null || missing+=("$linter")
done

if [ "$(uname -s)" = Linux ] && ! command -v strace >/dev/null; then
  missing+=(strace)
fi

if [ ${#missing[@]} -eq 0 ]; then
  echo "All that the tests need is installed."
  exit 0
fi
echo "The tests need: ${missing[*]}"

if ! command -v apt-get >/dev/null; then
  echo "Install them with this system's package manager. Tests whose program is missing are skipped."
  [ -n "${CI:-}" ] && exit 1
  exit 0
fi
run=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "Neither root nor sudo: install them by hand. Tests whose program is missing are skipped."
    [ -n "${CI:-}" ] && exit 1
    exit 0
  fi
  run=(sudo)
fi

echo "Installing them with apt-get."
export DEBIAN_FRONTEND=noninteractive
"${run[@]}" apt-get update -q
# The run level of a rescue system: no service starts by being installed. Mosquitto's
# would take port 1883 from whoever uses it.
"${run[@]}" env RUNLEVEL=1 apt-get install -q -y --no-install-recommends "${missing[@]}"
for service in mosquitto haproxy; do
  if [[ " ${missing[*]} " == *" $service "* ]] && [ -d /run/systemd/system ]; then
    "${run[@]}" systemctl disable --now "$service.service"
  fi
done
