#!/usr/bin/env bash
#
# SPDX-License-Identifier: Apache-2.0
#
# Runs Open vSwitch's own system-dpdk test suite against the switch of a build
# tree.  The tests are taken from that tree; a temporary copy is adapted to a
# machine with few cores, little memory and no physical DPDK port.

set -euo pipefail

# Of the suite's 25 tests, 22 of 3.5 or 28 of 4.0, 15 need neither a physical
# port nor scapy.
MIN_OK=15
# Memory of the switch, and with it of one testpmd, in MiB of hugepages.
SWITCH_MB=1024
TOTAL_MB=1664

usage() {
    cat <<USAGE
usage: ${0##*/} --ovs-build DIR [--plugin-dir DIR | --no-plugin]
       [AUTOTEST FLAG...]

Runs Open vSwitch's system-dpdk tests against DIR/vswitchd/ovs-vswitchd.

  --plugin-dir DIR  the switch must load the vhost plugin from DIR
  --no-plugin       the switch must load no plugin (--no-netdev-plugins)

Without either option the switch is started as it is, which suits one that
knows no plugins.  The flags that follow go to the suite: "-k ping", "-l",
"3-5", ...  Without any, at least $MIN_OK tests must pass.  Needs root, and
$TOTAL_MB MiB of free hugepages.
USAGE
}

die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

ovs='' plugin_dir='' no_plugin=false
while (( $# )); do
    case $1 in
    -h|--help) usage; exit 0 ;;
    --ovs-build|--plugin-dir)
        [[ -d ${2-} ]] || die "$1 needs a directory"
        case $1 in
        --ovs-build) ovs=$(realpath "$2") ;;
        --plugin-dir) plugin_dir=$(realpath "$2") ;;
        esac
        shift 2 ;;
    --no-plugin) no_plugin=true; shift ;;
    *) break ;;
    esac
done
[[ -n $ovs ]] || { usage >&2; exit 2; }
[[ -z $plugin_dir ]] || ! $no_plugin \
    || die "--plugin-dir and --no-plugin exclude each other"
[[ -x $ovs/vswitchd/ovs-vswitchd && -f $ovs/tests/system-dpdk.at ]] \
    || die "$ovs: not an Open vSwitch build tree"

(( EUID == 0 )) || die "needs root"
while read -r command package; do
    command -v "$command" > /dev/null \
        || die "$command is missing, install the package $package"
done <<'EOT'
autom4te autoconf
dpdk-testpmd dpdk-dev
ethtool ethtool
ip iproute2
lsmod kmod
ping iputils-ping
pkill procps
EOT
free_mb=$(awk '/^HugePages_Free:/ { pages = $2 }
               /^Hugepagesize:/ { print int(pages * $2 / 1024) }' \
              /proc/meminfo)
(( free_mb >= TOTAL_MB )) \
    || die "needs $TOTAL_MB MiB of free hugepages, there are ${free_mb:-0}"

# Not $TMPDIR: the tests' socket paths must stay short.
work=$(mktemp -d /tmp/ovs-dpdk.XXXXXX)
pid='' keep=false
# shellcheck disable=SC2317    # Called by the trap.
cleanup() {
    if [[ -n $pid ]]; then
        kill -KILL "$pid" 2> /dev/null || true
        wait "$pid" 2> /dev/null || true
    fi
    $keep || rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
mkdir "$work/tests" "$work/hugepages"
cp "$ovs"/tests/system-dpdk.at "$ovs"/tests/system-dpdk-macros.at \
   "$ovs"/tests/system-dpdk-testsuite.at "$ovs"/tests/atlocal "$work/tests"
# Of 3.5, the kernel's tests with veth devices in the place of its own ports.
sed -i '/system-traffic\.at/d' "$work/tests/system-dpdk-testsuite.at"

# has FILE PATTERN
has() {
    grep -q -e "$2" "$work/tests/$1"
}

# adapt FILE PATTERN COMMAND: applies sed's COMMAND to the lines of FILE that
# match PATTERN, of which there must be one.
adapt() {
    has "$1" "$2" \
        || die "$1 of this Open vSwitch has no line '$2' to adapt"
    sed -i -e "\|$2|$3" "$work/tests/$1"
}

# Without --no-pci, EAL probes, and may take over, the machine's own NIC.
# Without a limit, a pool for jumbo frames takes all hugepages that there are
# (it asks for 262144 mbufs), and testpmd finds none.
extra='other_config:dpdk-extra='
adapt system-dpdk-macros.at "$extra" "s|$extra\"*\([^]\"]*\)\"*\])|\
other_config:dpdk-socket-limit=$SWITCH_MB '$extra\"--no-pci \1\"'])|"

# With --no-pci there is no physical port to test.  The suite looks for the
# kernel's modules instead, which a host of virtual machines has loaded, or for
# a device.
adapt system-dpdk-macros.at 'dnl Check if [Va]' 'i AT_SKIP_IF([:])'

# Two forwarding cores beside testpmd's main one are three, which a machine of
# two does not have: let testpmd's threads float over the CPUs at hand.
cpus=$(awk '/^Cpus_allowed_list:/ { print $2 }' /proc/self/status)
if has system-dpdk-macros.at DPDK_EAL_OPTIONS; then
    export DPDK_EAL_OPTIONS="--lcores=(0-2)@($cpus)"
else
    adapt system-dpdk.at '-- -a --nb-cores 2' \
        "s|-- -a|--lcores='(0-2)@($cpus)' &|"
fi

allowed='does not support MTU configuration'
# Without the kernel module ovs-vswitchd says, besides what the suite allows
# for, that it can't list the kernel's datapaths.
also='/failed to enumerate system datapaths/d'
for file in system-dpdk.at system-dpdk-macros.at; do
    ! has $file "$allowed" \
        || sed -i "s|^.*$allowed.*|&\n$also|" "$work/tests/$file"
done

# The switch writes its log in the background: wait for the lines that the
# suite expects to find there at once.
check='AT_CHECK(\(\[grep "[^"]*"[ \\\n]*ovs-vswitchd\.log\]\),[^)]*)'
sed -i -z "s/$check/OVS_WAIT_UNTIL(\1)/g" "$work/tests/system-dpdk.at"

# The plugin.  A switch that refuses it falls back to its own ports, which
# pass these tests as well: make sure, in each test, that it is in use.
if [[ -n $plugin_dir ]]; then
    export OVS_NETDEV_PLUGINDIR=$plugin_dir
    adapt system-dpdk-macros.at 'on_exit "kill_ovs_vswitchd' \
        'a AT_CHECK([ovs-appctl netdev-plugin/list], [0], [stdout])\
AT_CHECK([grep "types:.* dpdkvhostuserclient" stdout], [0], [ignore])'
elif $no_plugin; then
    adapt system-dpdk-macros.at 'AT_CHECK(\[ovs-vswitchd ' \
        's|ovs-vswitchd|& --no-netdev-plugins|'
fi

(cd "$work" && autom4te --language=autotest -I "$work" -I "$ovs" \
    -o tests/suite tests/system-dpdk-testsuite.at)
# The suite runs outside of the build tree, so it needs absolute names.
cp "$ovs/tests/atconfig" "$work/tests"
cat >> "$work/tests/atconfig" <<'EOT'
at_srcdir=$abs_srcdir
at_top_srcdir=$abs_top_srcdir
at_top_build_prefix=$abs_top_builddir/
EOT

# The tests assume that the machine is theirs: they run "pkill -f -x 'tail -f
# /dev/null'", delete network namespaces named ns1, and make files in the
# hugetlbfs and DPDK's run directory under fixed names.  In namespaces of
# their own they meet nothing of others, and nothing of theirs, processes and
# hugepages included, outlives them.
exec 3> >(tee "$work/log")
tee_pid=$!
# shellcheck disable=SC2016    # The expansions are the inner shell's.
unshare --mount --net --pid --fork --kill-child --mount-proc \
    bash -euc '
        cd "$1"
        shift
        mount -t tmpfs tmpfs /run
        umount --all --lazy --types hugetlbfs
        mount -t hugetlbfs hugetlbfs hugepages
        ip link set lo up
        cd tests
        bash ./suite AUTOTEST_PATH=utilities:vswitchd:ovsdb "$@"
        exit
    ' bash "$work" "$@" < /dev/null >&3 2>&1 &
pid=$!
status=0
wait "$pid" || status=$?
pid=''
exec 3>&-
wait "$tee_pid"

count() {
    grep -cE "^ *[0-9]+: .* ($1)( \\(.*\\))?\$" "$work/log" || true
}
ok=$(count ok)
failed=$(count 'FAILED|UNEXPECTED PASS')
echo "system-dpdk: $ok ok, $failed failed, $(count skipped) skipped"
if (( status == 0 && $# == 0 && ok < MIN_OK )); then
    echo "${0##*/}: expected at least $MIN_OK tests to pass" >&2
    status=1
fi
if (( status != 0 )); then
    keep=true
    echo "${0##*/}: the tests' logs are in $work/tests/suite.dir" >&2
fi
exit "$status"
