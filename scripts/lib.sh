# What the scripts share; sourced with bash, not run.

set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
me=$(basename "$0")

# an ordinary user has no sbin in his path

PATH=$PATH:/usr/sbin:/sbin

say() { echo "$me: $*"; }

fail() { echo "$me: $*" >&2; exit 1; }

# runs a command quietly: its output is shown only if it fails

quietly() {
    local log=$1

    shift

    "$@" > "$log" 2>&1 || {
        tail -n 40 "$log" >&2
        fail "\"$*\" failed; all of its output is in $log"
    }
}

# the packages of t/interop as the lock file pins them: npm_ci demo installs
# those of the demo alone, a tenth of all

npm_ci() {
    local dir=$top/t/interop
    local all=$dir/node_modules/.all
    local lock=$dir/package-lock.json

    if [ $# = 1 ] && [ "$dir/node_modules/.package-lock.json" -nt "$lock" ]; then
        return 0
    fi

    if [ "$all" -nt "$lock" ]; then
        return 0
    fi

    (cd "$dir" && npm ci --no-audit --no-fund --ignore-scripts \
                         --loglevel=error ${1:+--omit=dev --omit=optional}) \
        || return 1

    [ $# = 1 ] || touch "$all"
}

free_port() {
    perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(Listen => 1,
        LocalAddr => "127.0.0.1", ReuseAddr => 1)->sockport'
}

# waits until something accepts connections; $2: pid that must stay alive

wait_port() {
    local i

    for i in $(seq 200); do
        if (exec 3<> "/dev/tcp/127.0.0.1/$1") 2>/dev/null; then
            return 0
        fi

        kill -0 "$2" 2>/dev/null || return 1
        sleep 0.05
    done

    return 1
}

# ends processes by pid: asks first, insists after 5 seconds

end_pids() {
    local pid i

    for pid; do
        kill "$pid" 2>/dev/null || continue

        for i in $(seq 100); do
            kill -0 "$pid" 2>/dev/null || continue 2
            sleep 0.05
        done

        kill -KILL "$pid" 2>/dev/null || :
    done
}
