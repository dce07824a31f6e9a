# Shared by the scripts beside it, which each run one database for the tests:
#
#   start   install it on first use, make its data folder, start it, print its URL; nothing to do if it runs
#   stop    end it in good order      kill   end it with SIGKILL, all of its processes
#   pids    its processes             url    where it is
#   fresh NAME   make an empty database of that name, start all if need be, print its URL
#   ca      the certificate of the authority that signed the database's own, for TLS (not MySQL, whose TLS is too old)
#   sql STATEMENTS [USER]   carry them out, by default as its administrator; else the password is USER too (not Cassandra)
#
# Data, port and pid are below build/services (SERVICES_DIR), which git ignores. Exit code 3: it cannot be had here.

set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
dir=${SERVICES_DIR:-$root/build/services}/$name
installs=${SERVICES_INSTALLS:-$root/build/services} # programs that are no packages of the system; any number of SERVICES_DIRs share them
mkdir -p "$dir" "$installs"

fail() { echo "$name: $1" >&2; exit "${2:-1}"; }

cannot() { fail "cannot be had on this platform: $1" 3; }

# install_packages installs Debian packages, or says what is missing.
install_packages() {
	command -v apt-get >/dev/null || cannot "no apt-get; install $* by hand"
	local as=""
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null && sudo -n true 2>/dev/null || cannot "not root, and no sudo; install $* by hand"
		as="sudo -n"
	fi
	echo "$name: installing $*" >&2
	{ $as apt-get install -y --no-install-recommends "$@" || { $as apt-get update && $as apt-get install -y --no-install-recommends "$@"; }; } >"$dir/install.log" 2>&1 ||
		cannot "apt-get install $* failed, see $dir/install.log"
}

# port is chosen once and kept.
port() {
	if [ ! -s "$dir/port" ]; then
		local p
		for _ in $(seq 100); do
			p=$((20000 + RANDOM % 10000))
			(exec 3<>"/dev/tcp/127.0.0.1/$p") 2>/dev/null || break
		done
		echo "$p" >"$dir/port"
	fi
	cat "$dir/port"
}

# pid of the main process, nothing if it does not run. A number that another program has by now does not count.
pid() {
	local p
	p=$(head -n 1 "$dir/pid" 2>/dev/null || true)
	if [ -n "$p" ] && { tr '\0' ' ' <"/proc/$p/cmdline"; } 2>/dev/null | grep -- "$dir" >/dev/null; then echo "$p"; fi
}

pids() {
	local p
	p=$(pid)
	if [ -n "$p" ]; then
		echo "$p"
		pgrep -P "$p" || true
	fi
}

# await runs a command until it succeeds, at most $patience seconds, while the process lives.
patience=60
await() {
	for _ in $(seq $((10 * patience))); do
		if "$@" >/dev/null 2>&1; then return; fi
		kill -0 "$(cat "$dir/pid")" 2>/dev/null || fail "did not start, see $dir/log"
		sleep 0.1
	done
	fail "does not answer, see $dir/log"
}

await_end() {
	for p in "$@"; do
		for _ in $(seq 600); do
			if [ ! -d "/proc/$p" ] || grep -q '^State:\s*Z' "/proc/$p/status" 2>/dev/null; then continue 2; fi
			sleep 0.1
		done
		fail "process $p does not end"
	done
}

end() { # SIGNAL
	local all main
	main=$(pid)
	[ -n "$main" ] || return 0
	all=$(pids)
	if [ "$1" = KILL ]; then
		# shellcheck disable=SC2086
		kill -KILL $all 2>/dev/null || true
	else
		kill "-$1" "$main"
	fi
	# shellcheck disable=SC2086
	await_end $all
	rm -f "$dir/pid"
}

# user is the account that the database runs as: databases refuse root.
as_user() { # ACCOUNT COMMAND...
	local account=$1
	shift
	if [ "$(id -u)" = 0 ]; then setpriv --reuid="$account" --regid="$account" --clear-groups "$@"; else "$@"; fi
}

# run starts the database in the background and notes its process.
run() { # ACCOUNT COMMAND...
	local account=$1
	shift
	if [ "$(id -u)" = 0 ]; then set -- setpriv --reuid="$account" --regid="$account" --clear-groups "$@"; fi
	(exec "$@") >>"$dir/log" 2>&1 </dev/null &
	echo $! >"$dir/pid"
}

# greets says whether something on the port speaks first, as MySQL does.
greets() { (exec 3<>"/dev/tcp/127.0.0.1/$(port)" && [ -n "$(timeout 5 head -c 5 <&3 | tr -d '\0')" ]) 2>/dev/null; }

# certify makes an authority, and a certificate of it for 127.0.0.1, in $dir/tls. Without openssl there is no TLS.
certify() {
	[ ! -s "$dir/tls/server.crt" ] && command -v openssl >/dev/null || return 0
	mkdir -p "$dir/tls"
	(
		cd "$dir/tls"
		openssl req -new -x509 -days 3650 -nodes -subj "/CN=perdure tests" -out ca.crt -keyout ca.key
		openssl req -new -nodes -subj /CN=127.0.0.1 -out server.csr -keyout server.key
		echo "subjectAltName=IP:127.0.0.1" >san
		openssl x509 -req -days 3650 -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -extfile san -out server.crt.new
		chmod 600 server.key
		mv server.crt.new server.crt
	) >"$dir/tls.log" 2>&1 || fail "making certificates failed, see $dir/tls.log"
}

own_folder() { # ACCOUNT
	[ "$(id -u)" = 0 ] || return 0
	chown "$1" "$dir"
	as_user "$1" test -w "$dir" || fail "the account $1 cannot reach $dir; set SERVICES_DIR to a folder that it can"
}

main() { # COMMAND
	case "${1:-}" in
	start)
		exec 9>"$dir/lock"
		flock 9
		if [ -z "$(pid)" ]; then start >&2 9>&-; fi
		url
		;;
	stop) end "$stop_signal" ;;
	kill)
		end KILL
		rm -f "$dir/data/postmaster.pid" # it is dead, even if its parent has not noticed yet
		;;
	pids) pids ;;
	url) url ;;
	fresh)
		[[ "${2:-}" =~ ^[a-z0-9_]+$ ]] || fail "usage: $0 fresh NAME" 2
		"$0" start >/dev/null
		fresh "$2" >&2
		url "$2"
		;;
	ca)
		[ -s "$dir/tls/ca.crt" ] || cannot "there is no openssl, or it speaks no TLS that is of use"
		echo "$dir/tls/ca.crt"
		;;
	sql) sql "${2:?statements are missing}" "${3:-}" ;;
	*) fail "usage: $0 start|stop|kill|pids|url|fresh NAME|ca|sql STATEMENTS" 2 ;;
	esac
}
