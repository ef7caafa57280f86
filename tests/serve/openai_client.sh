#!/usr/bin/env bash
# Runs openai_client.py, with the packages openai and httpx from PyPI in an environment of its own, against `kvpress serve` with the
# demo model. Usage: openai_client.sh PROGRAM PROJECT_DIR WORK_DIR. Exit code 77: they cannot be had.
set -euo pipefail
program=$1 project=$2 work=$3
here=$(cd "$(dirname "$0")" && pwd)

python=$work/venv/bin/python
if ! "$python" -c 'import openai, httpx' 2>/dev/null; then
  { python3 -m venv "$work/venv" && timeout 300 "$python" -m pip install -q --disable-pip-version-check openai httpx; } >&2 ||
    { echo "the packages openai and httpx cannot be installed" >&2; exit 77; }
fi

folder=$(mktemp -d)
server=''
finish() {
  if [[ $server ]]; then kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
  rm -rf "$folder"
}
trap finish EXIT

# The demo model, with a chat template.
mkdir "$folder/chatty"
ln -s "$project"/models/kvpress-demo/* "$folder/chatty/"
cat >"$folder/chatty/chat_template.jinja" <<'TEMPLATE'
{% if tools %}<tools>{{ tools | tojson }}</tools>
{% endif %}{% for m in messages %}<{{ m.role }}>
{{ m.content }}
</{{ m.role }}>
{% endfor %}{% if add_generation_prompt %}<assistant>
{% endif %}
TEMPLATE
echo secret >"$folder/keys"

"$program" serve -m "$folder/chatty" --dtype float32 --port 0 --api-key "$folder/keys" --memory 1GiB --queue 2 \
  --max-sequences 4 >"$folder/url" 2>"$folder/log" &
server=$!
for _ in $(seq 300); do
  [[ -s $folder/url ]] && break
  kill -0 "$server" 2>/dev/null || { cat "$folder/log" >&2; exit 1; }
  sleep 0.1
done
status=0
"$python" "$here/openai_client.py" "$(cat "$folder/url")" chatty secret || status=$?
# SIGTERM ends it in order.
kill -TERM "$server"
wait "$server" || { echo "the server ended with $?" >&2; status=1; }
server=''
if grep -q 'sat by the window' "$folder/log"; then echo "the log holds a text" >&2; status=1; fi
if [[ $status != 0 ]]; then cat "$folder/log" >&2; fi
exit "$status"
