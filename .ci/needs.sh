# What scripts of this folder say where something cannot be done, and how they install what they need.

# not_run WORDS...: say so; where CI=true that is a failure.
not_run() {
  echo "NOT RUN: $*"
  [ "${CI:-}" != true ]
}

# need FILE-OR-COMMAND PACKAGE...: see that it is there, where this may install it.
need() {
  [ -e "$1" ] || command -v "$1" > /dev/null && return
  [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null || return
  apt-get -qq update &&
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${@:2}" > /dev/null
}
