#!/bin/sh
# Writes Alertmanager's configuration from the environment or from secret files, and starts it.
#
# Alertmanager reads no environment itself. What is not given is left out, so that it starts without any receiver too:
# alerts are then only on its page. The file lies in memory (/tmp is a tmpfs) and is readable by this user alone.

set -eu
umask 077
secrets=${SECRETS:-/run/secrets}
config=${CONFIG:-/tmp/alertmanager.yml}

secret() { # secret FILE FALLBACK
  if [ -s "$secrets/$1" ]; then tr -d '\r\n' <"$secrets/$1"; else printf %s "$2"; fi
}
quoted() { # a text as a YAML string in single quotes
  printf "'%s'" "$(printf %s "$1" | sed "s/'/''/g")"
}

slack=$(secret slack_webhook_url "${SLACK_WEBHOOK_URL:-}")
token=$(secret telegram_bot_token "${TELEGRAM_BOT_TOKEN:-}")
chat=$(secret telegram_chat_id "${TELEGRAM_CHAT_ID:-}")

cat "$(dirname "$0")/base.yml" >"$config"
if [ -n "$slack" ]; then
  cat >>"$config" <<YAML
    slack_configs:
      - api_url: $(quoted "$slack")
        send_resolved: true
        title: '{{ template "telltale.title" . }}'
        text: '{{ template "telltale.text" . }}'
YAML
fi
if [ -n "$token" ] && [ -n "$chat" ]; then
  case $chat in *[!0-9-]*) echo "the Telegram chat id must be a number" >&2; exit 2 ;; esac
  cat >>"$config" <<YAML
    telegram_configs:
      - bot_token: $(quoted "$token")
        chat_id: $chat
        send_resolved: true
        parse_mode: ''
        message: '{{ template "telltale.title" . }}{{ "\n" }}{{ template "telltale.text" . }}'
YAML
fi
[ -n "$slack$token" ] || echo "no Slack or Telegram receiver is configured: alerts are shown only, not sent" >&2

[ "${1:-}" = --write-only ] && exit 0
exec /bin/alertmanager --config.file="$config" --storage.path=/alertmanager "$@"
