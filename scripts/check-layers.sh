#!/bin/bash
# A folder under src includes only itself and those before it: base tls stream net ssh. The programs (relay hub front agent) include nothing of one
# another. Only src/ssh includes <libssh/>. Tests are not looked at.
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

order=(base tls stream net ssh)
programs=(relay hub front agent sshd client)
bad=0

complain() {
	echo "$1" >&2
	bad=1
}

allowed=' '
check_folder() { # folder, allowed folders
	local folder=$1 may=$2 file line target
	[ -d "src/$folder" ] || return 0
	while IFS=: read -r file line target; do
		target=${target#*\"}
		target=${target%%\"*}
		case $target in
		*/*) target=${target%%/*} ;;
		*) continue ;;
		esac
		case $may in
		*" $target "*) ;;
		*) complain "$file:$line: src/$folder may not include $target/ (allowed:$may)" ;;
		esac
	done < <(grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]+"' -r "src/$folder" --include='*.[ch]' || true)
}
for folder in "${order[@]}"; do
	allowed+="$folder "
	check_folder "$folder" "$allowed"
done
for folder in "${programs[@]}"; do
	check_folder "$folder" "$allowed$folder "
done
for folder in src/*/; do
	folder=$(basename "$folder")
	case " ${order[*]} ${programs[*]} " in
	*" $folder "*) ;;
	*) complain "src/$folder: a folder that scripts/check-layers.sh does not know" ;;
	esac
done
while read -r where; do
	complain "$where: only src/ssh includes <libssh/>"
done < <(grep -nE '#[[:space:]]*include[[:space:]]+<libssh/' -r src --include='*.[ch]' | grep -v '^src/ssh/' || true)

if [ $bad -eq 0 ]; then
	echo "layers: clean"
fi
exit $bad
