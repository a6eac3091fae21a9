#!/bin/sh
# Writes Alertmanager's configuration from the environment or from secret files, and starts it.
#
# Alertmanager reads no environment itself. What is not given is left out, so that it starts without any receiver too:
# alerts are then only on its page. The file is in memory (/tmp is a tmpfs) and is readable by this user alone.

set -eu
umask 077
secrets=${SECRETS:-/run/secrets}
config=${CONFIG:-/tmp/alertmanager.yml}

stop() { # stop MESSAGE
  echo "$1" >&2
  exit 2
}
secret() { # secret FILE FALLBACK
  if [ ! -e "$secrets/$1" ]; then printf %s "$2"
  elif [ -r "$secrets/$1" ]; then tr -d '\r\n' <"$secrets/$1"
  else stop "secrets/$1 cannot be read by user $(id -u): chmod a+r it"; fi
}
quoted() { # a text as a YAML string in single quotes
  printf "'%s'" "$(printf %s "$1" | sed "s/'/''/g")"
}

slack=$(secret slack_webhook_url "${SLACK_WEBHOOK_URL:-}")
token=$(secret telegram_bot_token "${TELEGRAM_BOT_TOKEN:-}")
chat=$(secret telegram_chat_id "${TELEGRAM_CHAT_ID:-}")
link="${GRAFANA_URL:-http://localhost:3000}{{ template \"telltale.path\" . }}"
title='{{ template "telltale.title" . }}'

cat "$(dirname "$0")/base.yml" >"$config"
if [ -n "$slack" ]; then
  case $slack in http://*|https://*) ;; *) stop "the Slack webhook must be an http(s) address" ;; esac
  # Every field that has a default is set: the default names a template, and not every build has it.
  cat >>"$config" <<YAML
    slack_configs:
      - api_url: $(quoted "$slack")
        send_resolved: true
        username: Telltale
        color: '{{ if eq .Status "firing" }}danger{{ else }}good{{ end }}'
        title: $(quoted "$title")
        title_link: $(quoted "$link")
        text: '{{ template "telltale.slack" . }}'
        fallback: $(quoted "$title")
        pretext: ''
        footer: ''
        callback_id: ''
        icon_emoji: ''
        icon_url: ''
YAML
fi
if [ -n "$token" ] || [ -n "$chat" ]; then
  [ -n "$chat" ] || stop "a Telegram bot token is given, but no chat id"
  [ -n "$token" ] || stop "a Telegram chat id is given, but no bot token"
  case ${chat#-} in ''|*[!0-9]*) stop "the Telegram chat id must be a number" ;; esac
  cat >>"$config" <<YAML
    telegram_configs:
      - bot_token: $(quoted "$token")
        chat_id: $chat
        send_resolved: true
        parse_mode: ''
        message: $(quoted "$title{{ \"\n\" }}{{ template \"telltale.text\" . }}$link")
YAML
fi
[ -n "$slack$token" ] || echo "no Slack or Telegram receiver is configured: alerts are shown only, not sent" >&2

[ "${1:-}" = --write-only ] && exit 0
# One Alertmanager alone needs no cluster.
exec /bin/alertmanager --config.file="$config" --storage.path=/alertmanager --cluster.listen-address= "$@"
