#!/bin/bash
# Shows that a session survives: a counter runs over a stock `ssh -J`, while the machine's network is cut and the hub is killed under
# it. As root in network namespaces of its own, with a NAT router before the machine; otherwise on loopback, with a relay that
# can be cut. Nothing of yours is touched and nothing is left running.   usage: demo-survive.sh [--loopback] [BUILD FOLDER]
set -euo pipefail
scripts=$(realpath "$(dirname "$0")")
cd "$scripts/.."

loopback=''
if [ "${1:-}" = --loopback ]; then
	loopback='as you asked'
	shift
fi
build=$(realpath "${1:-build}")
for program in multissh-hub multissh-front multissh-agent multissh-sshd; do
	[ -x "$build/$program" ] || {
		echo "$build/$program is not there. Next: make" >&2
		exit 1
	}
done
PATH=$PATH:/usr/sbin:/sbin
sshd=$(command -v sshd) && [ -x "$sshd" ] || sshd=''

dir=$(mktemp -d /tmp/multissh-demo.XXXXXX)
chmod 700 "$dir"
net="msd$$"
hosts=(hub user inet home web01)
names=()
last=''
hub_pid='' agent_pid='' ssh_pid='' relay_pid=''

# shellcheck source=scripts/demo-lib.sh
. "$scripts/demo-lib.sh"

go_to() { # host: sets the words that run a command there
	there=()
	[ -n "$loopback" ] || there=(ip netns exec "$net-$1")
}

in_net() { # host, command...
	local there
	go_to "$1"
	shift
	"${there[@]}" "$@"
}

finish() {
	local status=$? pid host name
	trap '' INT TERM HUP
	trap - EXIT
	set +e
	[ -z "$ssh_pid" ] || end "$ssh_pid" TERM
	[ -z "$agent_pid" ] || end "$agent_pid" INT
	if [ -n "$hub_pid" ]; then
		# Sessions outlive a hub: only a hub ends them.
		kill -0 "$hub_pid" 2>/dev/null || start_hub
		await "the hub answers" 10 "$build/multissh-hub" --state "$dir/hub" list
		"$build/multissh-hub" --state "$dir/hub" stop --all >/dev/null 2>&1
		wait "$hub_pid" 2>/dev/null
	fi
	for pid in $(jobs -p); do
		end "$pid" TERM
	done
	if [ -z "$loopback" ]; then
		for host in "${hosts[@]}"; do
			# Whatever runs there was started here.
			for pid in $(ip netns pids "$net-$host" 2>/dev/null); do
				kill -9 "$pid" 2>/dev/null
			done
			ip netns del "$net-$host" 2>/dev/null
		done
	fi
	tell_failure $status
	rm -rf "$dir"
	exit $status
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

end() { # pid, signal
	kill -"$2" "$1" 2>/dev/null
	wait "$1" 2>/dev/null
}

say() {
	printf '    %s  %s\n' "$(date +%T)" "$*"
}

typed() { # what a person would type
	printf '%s$ %s%s\n' "$dim" "$*" "$plain"
}

start() { # name, host, command...
	local name=$1 there
	go_to "$2"
	shift 2
	names+=("$name")
	# A session of its own, so that Ctrl-C reaches only this script, which then ends them in order. Its pid is the program's.
	"${there[@]}" setsid "$@" >>"$dir/$name.log" 2>&1 </dev/null &
	last=$!
}

# --- the network ---

# Why there are no namespaces to be had; nothing when there are.
no_namespaces() {
	if [ "$(id -u)" -ne 0 ]; then
		echo "they need root"
	elif ! command -v ip >/dev/null || ! command -v nft >/dev/null; then
		echo "they need the packages iproute2 and nftables"
	elif ! ip netns add "$net-hub" 2>/dev/null; then
		echo "the system does not let us make them"
	elif ! ip netns exec "$net-hub" nft add table ip try 2>/dev/null; then
		echo "nftables does not work here"
	fi
	ip netns del "$net-hub" 2>/dev/null || true
}

cable() { # host, interface, address, host, interface, address
	ip link add "$2" netns "$net-$1" type veth peer name "$5" netns "$net-$4"
	in_net "$1" ip addr add "$3" dev "$2"
	in_net "$4" ip addr add "$6" dev "$5"
	in_net "$1" ip link set "$2" up
	in_net "$4" ip link set "$5" up
}

make_network() {
	local host
	for host in "${hosts[@]}"; do
		ip netns add "$net-$host"
		in_net "$host" ip link set lo up
	done
	cable hub eth0 203.0.113.10/30 inet to-hub 203.0.113.9/30
	cable user eth0 198.51.100.2/30 inet to-user 198.51.100.1/30
	cable home wan 192.0.2.2/30 inet to-home 192.0.2.1/30
	cable web01 eth0 10.77.1.2/24 home lan 10.77.1.1/24
	in_net hub ip route add default via 203.0.113.9
	in_net user ip route add default via 198.51.100.1
	in_net home ip route add default via 192.0.2.1
	in_net web01 ip route add default via 10.77.1.1
	for host in inet home; do
		in_net "$host" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
	done
	in_net home nft -f - <<-END
		table ip nat {
			chain out {
				type nat hook postrouting priority 100
				oifname "wan" masquerade
			}
		}
		table ip filter {
			chain forward {
				type filter hook forward priority 0
				ct state established,related accept
				iifname "wan" drop
			}
		}
	END
}

# The relay of the loopback variant: while it is cut nothing passes and nobody is told; what was open then is gone.
relay_program='
import select, signal, socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=50)
cut, pairs = False, {}
def toggle(number, _frame):
    global cut
    cut = number == signal.SIGUSR1
    if not cut:
        for sock in list(pairs):
            close(sock)
def close(sock):
    other = pairs.pop(sock, None)
    if other is not None:
        pairs.pop(other, None)
        other.close()
    sock.close()
signal.signal(signal.SIGUSR1, toggle)
signal.signal(signal.SIGUSR2, toggle)
while True:
    ready = select.select([] if cut else [listener, *pairs], [], [], 0.1)[0]
    for sock in ready:
        if cut or sock.fileno() < 0:
            continue
        try:
            if sock is listener:
                client = listener.accept()[0]
                try:
                    server = socket.create_connection(("127.0.0.1", int(sys.argv[2])), 5)
                except OSError:
                    client.close()
                    continue
                pairs[client], pairs[server] = server, client
            elif data := sock.recv(65536):
                pairs[sock].sendall(data)
            else:
                close(sock)
        except OSError:
            close(sock)
'

cut() {
	if [ -n "$loopback" ]; then
		kill -USR1 "$relay_pid"
	else
		in_net inet nft -f - <<-END
			table ip cut {
				chain forward {
					type filter hook forward priority -10
					iifname "to-home" drop
					oifname "to-home" drop
				}
			}
		END
	fi
}

mend() {
	if [ -n "$loopback" ]; then
		kill -USR2 "$relay_pid"
	else
		in_net inet nft delete table ip cut
	fi
}

listening() { # pid, port
	awk -v port=":$(printf '%04X' "$2")" '$4 == "0A" && index($2, port) { found = 1 } END { exit !found }' "/proc/$1/net/tcp"
}

# --- what runs ---

start_hub() {
	start hub hub "$build/multissh-hub" --state "$dir/hub" --listen "$hub_address:$hub_port" --public "$public" --domain demo.test
	hub_pid=$last
	await "the hub listens" 15 listening "$hub_pid" "$hub_port"
}

kill_hub() {
	{ # the shell says "Killed" otherwise
		kill -9 "$hub_pid"
		wait "$hub_pid" || true
	} 2>/dev/null
}

user_ssh() {
	in_net user ssh -F "$dir/ssh_config" "$@"
}

online() {
	[ "$(user_ssh hub list --json | grep -o '"online": *true' | wc -l)" -ge 1 ]
}

shown() { # the last number
	local number
	number=$(tail -n 1 "$dir/counter.log" 2>/dev/null)
	echo "${number:-0}"
}

beyond() { # number
	[ "$(shown)" -gt "$1" ]
}

goes_on() { # since what
	local from began took
	from=$(shown) began=$(date +%s%N)
	if ! kill -0 "$ssh_pid" 2>/dev/null; then
		echo "the session has ended" >&2
		return 1
	fi
	await "the counter goes on" 30 beyond "$from"
	took=$((($(date +%s%N) - began) / 100000000))
	say "${bold}the counter goes on: $(shown)${plain}, $((took / 10)).$((took % 10)) s after $1"
}

watch() { # seconds
	local n
	for ((n = 0; n < $1; n++)); do
		sleep 1
		say "the counter shows $(shown)"
	done
}

if [ -z "$loopback" ]; then
	loopback=$(no_namespaces)
	if [ -n "$loopback" ]; then
		echo "There are no network namespaces here: $loopback. Next: sudo make demo-survive"
		echo "Until then, on loopback, with a relay between machine and hub in place of a network."
		echo
	fi
fi

me=$(id -un)
hub_address=203.0.113.10 hub_port=2244 sshd_port=2022 public=203.0.113.10:2244
if [ -n "$loopback" ]; then
	command -v python3 >/dev/null || {
		echo "The relay needs python3, which is not installed. Next: install it, or run this as root." >&2
		exit 1
	}
	mapfile -t ports < <(free_ports 3)
	hub_address=127.0.0.1 hub_port=${ports[0]} sshd_port=${ports[1]} public=127.0.0.1:${ports[2]}
fi

echo "${bold}multiSSH: a session of plain ssh that survives its network and its hub.${plain}"
echo "Everything below runs on this computer, in $dir, and is gone at the end."

if [ -n "$loopback" ]; then
	step "1. A user, a hub, and a machine behind a relay that can be cut"
	start relay web01 python3 -c "$relay_program" "${public##*:}" "$hub_port"
	relay_pid=$last
	await "the relay listens" 10 listening "$relay_pid" "${public##*:}"
	echo "    user ──── hub ($hub_address:$hub_port) ──── relay ($public) ──── web01"
else
	step "1. A network of our own: a user, a hub, and a machine behind a NAT router"
	make_network
	echo "    user (198.51.100.2) ──── internet ──── router with NAT (192.0.2.2) ──── web01 (10.77.1.2)"
	echo "                                │"
	echo "                               hub (203.0.113.10)"
fi

step "2. The hub, the user alice, and the machine web01, which dials out to the hub"
mkdir -m 700 "$dir/hub" "$dir/web01" "$dir/web01/sshd"
ssh-keygen -q -t ed25519 -N '' -C alice@demo -f "$dir/alice"
ssh-keygen -q -t ed25519 -N '' -C web01 -f "$dir/host_key"
echo "alice machines=\"*\" $(cat "$dir/alice.pub")" >"$dir/hub/authorized_users"
chmod 600 "$dir/hub/authorized_users"
cat >"$dir/ssh_config" <<END
Host hub
  HostName $hub_address
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
start_hub
if [ -n "$sshd" ]; then
	cat >"$dir/sshd_config" <<-END
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
	[ "$(id -u)" -ne 0 ] || mkdir -p /run/sshd
	start sshd web01 "$sshd" -D -e -f "$dir/sshd_config"
	await "sshd listens" 10 listening "$last" "$sshd_port"
fi
# Where sshd is not installed the agent brings a server along.
cat >"$dir/web01/sshd/sshd.conf" <<-END
	authorized-keys = $dir/alice.pub
	strict-modes = no
	user-rc = no
END
code=$("$build/multissh-hub" --state "$dir/hub" invite web01 2>/dev/null | grep -oE 'join +[^ ]+' | awk '{ print $2; exit }')
[ -n "$code" ] || {
	echo "the invitation has no code" >&2
	exit 1
}
start web01 web01 "$build/multissh-agent" --state "$dir/web01" join "$code" --name web01 --ssh "127.0.0.1:$sshd_port" --sshd-socket none
agent_pid=$last
await "web01 is online" 20 online
typed "ssh hub"
user_ssh hub 2>&1 | sed 's/\r$//; s/^/    /'

step "3. alice's session: a counter on web01, five numbers a second, over a stock ssh"
typed "ssh -J hub $me@web01 counter"
mkfifo "$dir/keys"
go_to user
# shellcheck disable=SC2016 # expanded on the machine
"${there[@]}" setsid ssh -F "$dir/ssh_config" -J hub "$me@web01" \
	'exec bash -c "n=0; until read -r -t 0.2; do n=\$((n + 1)); echo \$n; done"' \
	<"$dir/keys" >"$dir/counter.log" 2>"$dir/ssh.log" &
ssh_pid=$!
names+=(ssh)
exec 7>"$dir/keys"
await "the counter runs" 30 beyond 2
watch 3

step "4. The network of web01 is cut for 8 seconds: not a packet passes, and nobody is told"
cut
say "cut"
watch 8
mend
say "the network is back"
goes_on "that"
watch 2

step "5. The hub is killed (kill -9), and started again 3 seconds later"
kill_hub
say "the hub is dead; the session needs it no more than a call needs the directory"
watch 3
start_hub
say "a new hub runs"
goes_on "that"
await "web01 is online again" 30 online
say "web01 is online again, and the new hub knows the session of the old one:"
typed "multissh-hub sessions"
"$build/multissh-hub" --state "$dir/hub" sessions | sed 's/^/    /'

step "6. All at once: the network is cut, and the hub dies and is restarted meanwhile"
cut
say "cut"
watch 2
kill_hub
say "the hub is dead"
watch 2
start_hub
say "a new hub runs"
watch 2
mend
say "the network is back"
goes_on "that"
watch 2

step "7. The end of the session, as if nothing had happened"
echo >&7
exec 7>&-
wait "$ssh_pid" || {
	echo "ssh ended with status $?" >&2
	exit 1
}
ssh_pid=''
if ! seq "$(shown)" | cmp -s - "$dir/counter.log"; then
	echo "The numbers are not those that were sent." >&2
	exit 1
fi
echo "    1 to $(shown): every number came, each once, in order."
