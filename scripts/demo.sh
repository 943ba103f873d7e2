#!/bin/bash
# Shows the whole of multiSSH on this computer: a hub, two machines, a user; on loopback, in a temporary folder, with nothing of
# yours touched and nothing left running.   usage: demo.sh [BUILD FOLDER]
set -euo pipefail
scripts=$(realpath "$(dirname "$0")")
cd "$scripts/.."

build=$(realpath "${1:-build}")
for program in multissh-hub multissh-front multissh-agent multissh-sshd; do
	[ -x "$build/$program" ] || {
		echo "$build/$program is not there. Next: make" >&2
		exit 1
	}
done
sshd=$(PATH=$PATH:/usr/sbin:/sbin command -v sshd) && [ -x "$sshd" ] || sshd=''

dir=$(mktemp -d /tmp/multissh-demo.XXXXXX)
chmod 700 "$dir"
last=''
names=()
hub_pid=''

# shellcheck source=scripts/demo-lib.sh
. "$scripts/demo-lib.sh"

finish() {
	local status=$? pid i pids
	trap - EXIT INT TERM HUP
	# As the shell knows them: the signal may have come right behind a start.
	mapfile -t pids <<<"$(jobs -p)"
	# The agents with their sessions first, then the hub with every session, then the sshd.
	for i in web01 nas; do
		if [ -d "$dir/$i" ]; then
			"$build/multissh-agent" --state "$dir/$i" stop --all >/dev/null 2>&1 || true
		fi
	done
	for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
		pid=${pids[i]}
		[ -n "$pid" ] || continue
		if [ "$pid" = "$hub_pid" ]; then
			"$build/multissh-hub" --state "$dir/hub" stop --all >/dev/null 2>&1 || true
		fi
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	tell_failure $status
	rm -rf "$dir"
	exit $status
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

show() { # what a person types, then the command that is run for it
	local typed=$1
	shift
	printf '%s$ %s%s\n' "$dim" "$typed" "$plain"
	"$@" 2>&1 | sed 's/\r$//; s/^/    /'
}

start() { # name, command...
	local name=$1
	shift
	names+=("$name")
	# A session of its own, so that Ctrl-C reaches only this script, which then ends them in order.
	setsid "$@" >"$dir/$name.log" 2>&1 </dev/null &
	last=$!
}

listening() { # port
	awk -v port=":$(printf '%04X' "$1")" '$4 == "0A" && index($2, port) { found = 1 } END { exit !found }' /proc/net/tcp
}

online() { # count
	[ "$(ssh -F "$dir/ssh_config" hub list --json | grep -o '"online": *true' | wc -l)" -ge "$1" ]
}

mapfile -t ports < <(free_ports 3)
hub_port=${ports[0]} sshd_port=${ports[1]} closed_port=${ports[2]}
me=$(id -un)

echo "${bold}multiSSH: two machines that nobody can connect to, reached with plain ssh.${plain}"
echo "Everything below runs on this computer, in $dir, and is gone at the end."

step "1. The hub: on a host that everybody can reach"
mkdir -m 700 "$dir/hub" "$dir/web01" "$dir/nas"
start hub "$build/multissh-hub" --state "$dir/hub" --listen "127.0.0.1:$hub_port" --public "127.0.0.1:$hub_port" --domain demo.test
hub_pid=$last
await "the hub listens" 10 listening "$hub_port"
sed 's/^/    /' "$dir/hub.log"

step "2. A user: alice, by her key; one line in authorized_users"
ssh-keygen -q -t ed25519 -N '' -C alice@demo -f "$dir/alice"
line="alice machines=\"*\" $(cat "$dir/alice.pub")"
echo "    $line"
echo "$line" >"$dir/hub/authorized_users"
cat >"$dir/ssh_config" <<END
Host hub
  HostName 127.0.0.1
  Port $hub_port
  User alice
Host *
  IdentityFile $dir/alice
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile $dir/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking accept-new
  BatchMode yes
  LogLevel ERROR
END
await "the hub has read authorized_users" 10 ssh -F "$dir/ssh_config" hub whoami

if [ -n "$sshd" ]; then
	step "3. A machine with an SSH server of its own: an invitation on the hub, one line pasted on the machine"
else
	step "3. A machine: an invitation on the hub, one line pasted on the machine (sshd is not installed here)"
fi
ssh-keygen -q -t ed25519 -N '' -C web01 -f "$dir/host_key"
cat >"$dir/sshd_config" <<END
Port $sshd_port
ListenAddress 127.0.0.1
HostKey $dir/host_key
AuthorizedKeysFile $dir/alice.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
PermitUserRC no
PrintMotd no
PrintLastLog no
END
if [ -n "$sshd" ]; then
	if [ "$(id -u)" -eq 0 ]; then
		mkdir -p /run/sshd
	fi
	start sshd "$sshd" -D -e -f "$dir/sshd_config"
	await "sshd listens" 10 listening "$sshd_port"
fi
# Who may log in where no SSH server runs: alice, and your own authorized_keys are not looked at.
for machine in web01 nas; do
	mkdir -m 700 "$dir/$machine/sshd"
	cat >"$dir/$machine/sshd/sshd.conf" <<-END
		authorized-keys = $dir/alice.pub
		strict-modes = no
		user-rc = no
	END
done
invite() {
	"$build/multissh-hub" --state "$dir/hub" invite "$1" 2>/dev/null
}
join() { # name, address of its SSH server
	local line code
	line=$(invite "$1")
	code=$(grep -oE 'join +[^ ]+' <<<"$line" | awk '{ print $2; exit }')
	[ -n "$code" ] || {
		echo "the invitation has no code: $line" >&2
		return 1
	}
	show "multissh-hub invite $1" echo "$line"
	start "$1" "$build/multissh-agent" --state "$dir/$1" join "$code" --name "$1" --ssh "$2" \
		--sshd-socket none
}
join web01 "127.0.0.1:$sshd_port"

step "4. A second machine, on which no SSH server runs: the agent brings one along"
join nas "127.0.0.1:$closed_port"
await "both machines are online" 20 online 2
echo "    Both dialled out to the hub; nothing listens for it on either."

step "5. Which machines are there?"
show "ssh hub" ssh -F "$dir/ssh_config" hub
show "ssh hub list -l" ssh -F "$dir/ssh_config" hub list -l

step "6. A command on web01, through the hub (the inner connection is end-to-end: the hub sees ciphertext)"
# shellcheck disable=SC2016 # expanded on the machine
show "ssh -J hub $me@web01 'echo …'" ssh -F "$dir/ssh_config" -J hub "$me@web01" \
	'echo "hello from $(hostname), as $(id -un), coming from ${SSH_CLIENT%% *}"'

step "7. The other machine, on which no SSH server runs: a terminal, a command, files by sftp and by rsync"
# shellcheck disable=SC2016 # expanded on the machine
show "ssh -t -J hub $me@nas" ssh -tt -F "$dir/ssh_config" -J hub "$me@nas" \
	'echo "a terminal: $(tty), $TERM"'
# shellcheck disable=SC2016 # expanded on the machine
show "ssh -J hub $me@nas 'echo …'" ssh -F "$dir/ssh_config" -J hub "$me@nas" \
	'echo "hello from $(hostname), as $(id -un), coming from ${SSH_CLIENT%% *}, without sshd"'
mkdir "$dir/files" "$dir/copy"
echo "one" >"$dir/files/one.txt"
seq 100000 >"$dir/files/numbers.txt"
sftp_listing() {
	echo "ls -l $dir/files" | sftp -q -F "$dir/ssh_config" -J hub -b - "$me@nas" | sed "/^sftp>/d; s#$dir/##"
}
show "sftp -J hub $me@nas   (ls -l)" sftp_listing
if command -v rsync >/dev/null; then
	show "rsync -e 'ssh -J hub' -a files/ $me@nas:copy/" rsync -e "ssh -F $dir/ssh_config -J hub" -a --out-format='%n: %l bytes' "$dir/files/" "$me@nas:$dir/copy/"
else
	show "scp -J hub files/* $me@nas:copy/   (rsync is not installed here)" scp -q -F "$dir/ssh_config" -J hub "$dir/files/one.txt" "$dir/files/numbers.txt" "$me@nas:$dir/copy/"
fi
cmp "$dir/files/numbers.txt" "$dir/copy/numbers.txt"
echo "    The copy is the same."

step "8. What cannot be had is said in ssh's own output"
refusal() {
	! ssh -F "$dir/ssh_config" -o LogLevel=INFO -J hub "$me@printer" true
}
show "ssh -J hub $me@printer" refusal

step "That was all. On a real hub: README.md, 'The first five minutes'."
