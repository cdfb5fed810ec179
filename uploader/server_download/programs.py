"""The shell programs that start, watch and stop a download on the server: lines of POSIX sh.

Each reads its parameters from standard input. The state of a job is in `$HOME/.uploader/KEY` (mode 0700):

    pid      number, start time and boot id of its leading process
    log      the attempts and their exit codes, never a link (mode 0600)
    result   exit code, HTTP status, bytes and downloader; it exists once the job has ended
"""

from __future__ import annotations

_AT = "IFS= read -r key || exit 9; case $key in *[!0-9a-f]*|'') exit 9;; esac; d=${HOME:?}/.uploader/$key; "

# The system uses a process number again: only with the start time and the boot id is it unique.
_ALIVE = (
    "boot=; [ -r /proc/sys/kernel/random/boot_id ] && read -r boot </proc/sys/kernel/random/boot_id; boot=${boot:--}; "
    "birth() { b=-; if [ -d /proc/self ]; then b=gone; if read -r l 2>/dev/null </proc/$1/stat; then l=${l##*) }; "
    "set -f; set -- $l; case $1 in Z|X) ;; *) shift 19; b=$1;; esac; fi; fi; }; "
    'alive() { [ -s "$d/pid" ] && read -r pid was then <"$d/pid" && kill -0 "$pid" 2>/dev/null && birth "$pid" && '
    '[ "$b $boot" = "$was $then" ]; }; '
)
# A variable that the account exports shows its value to every program we start, also a value that we assign later.
_OWN = (
    "set +a; unset -v a again at attempt b begin boot by c cut d i key l mark most n order part pid ranges rc rest run "
    "said st starter then tries was whole; "
)
_NAP = "nap() { sleep 0.1 2>/dev/null || sleep 1; }; "
_SIZE = 'size() { set -f; set -- $(ls -lnd "$1" 2>/dev/null); n=${5:-0}; }; '

SURVEY = (
    "for t in setsid python3; do command -v $t >/dev/null 2>&1 && echo $t; done; echo .; "
    'while IFS= read -r c; do v=$(eval "$c" 2>/dev/null | { IFS= read -r l; echo "$l"; }); echo "$v"; done'
)
"""Read commands that print a version. Print the programs that can detach a process, a dot, and a line a command."""

LOOK = (
    _AT + _ALIVE + '[ -d "$d" ] || { echo none; exit 0; }; '
    'told() { [ -s "$d/result" ] && read -r r <"$d/result" && echo "ended $r"; }; '
    # The job may end between the two checks, so a job that is not alive is checked for a result again.
    "if told; then :; elif alive; then echo running; elif told; then :; else then=; "
    '[ -s "$d/pid" ] && read -r pid was then <"$d/pid"; [ "$then" = "$boot" ] && echo dead || echo reset; fi'
)
"""Print `none`, `running`, `ended CODE STATUS BYTES DOWNLOADER`, `dead`, or `reset` (dead, and the server has
restarted since)."""

# Standard input has: part, downloader, size, whether the source gives ranges, validator, the exit codes worth another
# attempt, the downloader's line, and its order. The order stays in the memory of this shell, because `printf` is a
# builtin and starts no process.
#
# `ulimit -f` keeps the file near the promised size, also when the source sends more. Its blocks have 512 bytes, in some
# shells 1024.
RUN = (
    'trap "" HUP; umask 077; cd "$d" || exit 1; ' + _ALIVE + _SIZE + "birth $$; "
    'echo "$$ $b $boot" >pid.new && mv pid.new pid || exit 1; say() { echo "$*" >>log; }; '
    "IFS= read -r part; IFS= read -r by; IFS= read -r whole; IFS= read -r ranges; IFS= read -r mark; "
    "IFS= read -r again; IFS= read -r attempt; order=$(cat); "
    "exec </dev/null; ulimit -f $((whole / 512 + 2048)) 2>/dev/null; "
    "tries=0; most=1; rc=0; st=000; "
    "while :; do "
    '[ "$ranges" = yes ] || : >"$part"; size "$part"; at=$n; [ "$at" -ge "$whole" ] && break; '
    'eval "$attempt"; size "$part"; say "from $at to $n of $whole bytes: exit code $rc, status $st"; '
    '[ "$n" -ge "$whole" ] && break; [ "$n" -gt "$at" ] && { tries=0; most=6; }; '
    'case " $again " in *" $rc "*) ;; *) case $st in 408|429|5??) ;; *) break;; esac;; esac; '
    '[ "$tries" -ge "$most" ] && break; sleep $((1 << tries)); tries=$((tries + 1)); done; '
    'echo "$rc $st $n $by" >result.new && mv result.new result'
)
"""The program of the job's own shell. START receives it on standard input."""

START = (
    _OWN
    + "case $(command -v printf) in /*) echo spoken; exit 0;; esac; "
    + _AT
    + _ALIVE
    + _NAP
    + _SIZE
    + "IFS= read -r cut; IFS= read -r part; "
    '[ -f "$part" ] || { echo elsewhere; exit 0; }; [ -w "$part" ] || { echo readonly; exit 0; }; '
    "umask 077; mkdir -p ${HOME:?}/.uploader || exit 1; "
    'if ! mkdir "$d" 2>/dev/null; then if alive; then echo taken; exit 0; fi; chmod 700 "$d" || exit 1; fi; '
    'rm -f "$d/pid" "$d/result"; : >>"$d/log" || exit 1; '
    'if [ "$cut" -gt 0 ]; then size "$part"; n=$((n > cut ? n - cut : 0)); '
    'dd if=/dev/null of="$part" bs=1 seek="$n" count=0 2>/dev/null || : >"$part"; fi; '
    "IFS= read -r starter; IFS= read -r run; rest=$(cat); "
    f"begin='{_OWN}IFS= read -r d; IFS= read -r run; eval \"$run\"'; "
    "case $starter in setsid) set -- setsid;; *) set -- python3 -I -c "
    '"import os,sys;os.setsid();os.execvp(sys.argv[1],sys.argv[1:])";; esac; '
    '( printf "%s\\n" "$d" "$run" "$part" "$rest" | "$@" sh -c "$begin" >/dev/null 2>&1 ) >/dev/null 2>&1 & '
    'i=0; while [ ! -s "$d/pid" ] && [ $i -lt 50 ]; do i=$((i + 1)); nap; done; '
    '[ -s "$d/pid" ] && echo started || echo stillborn'
)
"""Print `started`, `taken` (a job runs), `elsewhere` (no such part), `readonly`, `stillborn` or `spoken`.

`spoken` means that printf is no builtin of this shell, so a process list would show the link.
"""

STOP = (
    _AT + _ALIVE + _NAP + "if alive; then kill -s KILL -- -$pid 2>/dev/null; i=0; "
    "while kill -s 0 -- -$pid 2>/dev/null && [ $i -lt 5 ]; do i=$((i + 1)); nap; done; fi; i=0; "
    "while alive && [ $i -lt 20 ]; do i=$((i + 1)); nap; done; alive && echo running || echo stopped"
)
"""Kill all processes of a job. Print `stopped`, or `running` when that failed.

It sends SIGKILL at once: after SIGTERM a process may still write to the part.
"""

CLEAR = (
    _AT + _ALIVE + 'alive && exit 3; rm -rf "$d" || exit 1; rmdir ${HOME:?}/.uploader 2>/dev/null; '
    '[ -d "$d" ] && exit 1; exit 0'
)
"""Remove a job's state, and the folder of all states when it is empty."""

DIAGNOSE = (
    "date +%s; for f in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem "
    '/etc/ssl/ca-bundle.pem /etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem "${SSL_CERT_FILE:-}" '
    '"${CURL_CA_BUNDLE:-}"; do [ -n "$f" ] && [ -s "$f" ] && { echo certificates; break; }; done; exit 0'
)
"""Print the server's clock in seconds since 1970, and `certificates` if it has certificates of authorities."""
