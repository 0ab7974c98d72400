#!/usr/bin/env bash
# curl, with a shell that reads the stream and reconnects.
set -u
# Bytes are bytes.
export LC_ALL=C

url=$1
id='' delay=0

# Prints a string as JSON.
quoted() {
  local text=$1 octal char
  text=${text//\\/\\\\}
  text=${text//\"/\\\"}
  for octal in {0..3}{0..7}; do
    [ "$octal" = 00 ] && continue
    printf -v char '%b' "\\0$octal"
    printf -v escape '\\u%04x' "$((8#$octal))"
    text=${text//"$char"/$escape}
  done
  printf '"%s"' "$text"
}

while true; do
  sleep "$delay"
  event='' data='' has_data=
  while IFS= read -r line; do
    case $line in
      '')
        if [ -n "$has_data" ]; then
          # All lines of data except for the last end with a line break.
          printf '{"event":%s,"data":%s,"id":%s}\n' \
            "$(quoted "${event:-message}")" "$(quoted "${data%$'\n'}")" "$(quoted "$id")"
        fi
        event='' data='' has_data=
        continue
        ;;
      :*) continue ;;
    esac
    field=${line%%:*} value=
    [ "$field" = "$line" ] || value=${line#*:}
    value=${value# }
    case $field in
      event) event=$value ;;
      data) data+=$value$'\n' has_data=1 ;;
      id) id=$value ;;
      retry) delay=$((value / 1000)).$(printf '%03d' $((value % 1000))) ;;
    esac
  done < <(curl --silent --no-buffer --header 'Accept: text/event-stream' \
    ${id:+--header "Last-Event-ID: $id"} "$url" 2>/dev/null)
done
