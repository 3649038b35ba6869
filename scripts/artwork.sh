#!/usr/bin/env bash
# Renders icon.png and logo.png, which the Store shows, from their drawings in artwork/.
set -euo pipefail
cd "$(dirname "$0")/.."

# render DRAWING PICTURE WIDTH HEIGHT
render() {
  rm -f "$2"
  local page
  page=$(mktemp --suffix .html)
  printf '<!doctype html><style>*{margin:0}svg{display:block}</style>' > "$page"
  cat "artwork/$1" >> "$page"
  chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --force-device-scale-factor=1 \
    --default-background-color=00000000 --window-size="$3,$4" --screenshot="$2" "file://$page" 2> /dev/null
  rm -f "$page"
  test -s "$2"
}

render icon.svg icon.png 128 128
render logo.svg logo.png 250 100
