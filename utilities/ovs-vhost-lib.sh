# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What the commands in this directory share: they source it.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# The repository.
top=${here%/*}
# What they make and keep, for each user if a package brought them.
cache=$top/_build
[[ -e $top/configure.ac ]] || cache=${XDG_CACHE_HOME:-~/.cache}/netdev-vhost
# The guests' kernel and initial file system.
images=$cache/guest
# The installation of the switch.
prefix=$top/_install
# The run directory.  Functions that run as a step do so in a subshell, so what
# they start and change is written down here:
#   NAME.pid    a process, whose command line names the directory
#   NAME.log    what it said
#   pages       the number of hugepages that were added
run=''

die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

need_root() {
    (( EUID == 0 )) || die "needs root, for $1"
}

# now: milliseconds.  took SINCE: the seconds since then.
now() {
    echo "$(( ${EPOCHREALTIME/[.,]/} / 1000 ))"
}

took() {
    echo "$(seconds $(( $(now) - $1 ))) s"
}

# seconds MS
seconds() {
    printf '%d.%d' $(($1 / 1000)) $(($1 % 1000 / 100))
}

# step LOG TITLE COMMAND...: runs a command or function with its output in LOG,
# says what it is and how long it took.  If it fails, shows the end of LOG and
# exits.
step() {
    local log=$1 title=$2 start status
    shift 2
    start=$(now)
    printf '%-58s ' "$title ..."
    # Where a status is tested, "set -e" does not work.
    set +e
    (set -e; "$@") > "$log" 2>&1 < /dev/null
    status=$?
    set -e
    if (( status )); then
        printf 'failed after %s\n' "$(took "$start")"
        tail -n 25 "$log" | sed 's/^/    /' >&2
        die "failed: $title"
    fi
    printf '%s\n' "$(took "$start")"
}

# wait_until SECONDS COMMAND...
wait_until() {
    local deadline=$(( $(now) + $1 * 1000 ))
    shift
    until "$@"; do
        (( $(now) < deadline )) || return 1
        sleep 0.1
    done
}

# Packages.

# need_packages LOG PACKAGE...: installs those that are missing.
need_packages() {
    local log=$1 package missing=()
    shift
    command -v dpkg-query > /dev/null || return 0
    for package in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null) \
           == installed ]] || missing+=("$package")
    done
    (( ${#missing[@]} )) || return 0
    (( EUID == 0 )) || die "packages are missing, install them as root with:
    apt-get install ${missing[*]}"
    step "$log" "Installing ${#missing[@]} packages" \
        install_packages "${missing[@]}"
}

install_packages() {
    echo "installing $*"
    update_package_lists
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 \
        install --no-install-recommends "$@"
}

# A list that can't be had is no reason to stop: another one may do.
update_package_lists() {
    apt-get -q update || true
}

# The mirror that this machine has its release from, and that release.
debian_mirror() {
    # shellcheck disable=SC2016    # The expansions are apt's.
    apt-get indextargets --format '$(REPO_URI) $(CODENAME)' \
        'Created-By: Packages' 'Origin: Debian' 'Label: Debian'
}

# unpack_backports DIR PACKAGE...: unpacks the packages, of Debian's backports
# for this release, to DIR.  Installs nothing, and leaves apt's lists alone.
unpack_backports() {
    local dir=$1 uri release options
    shift
    [[ ! -d $dir ]] || return 0
    rm -rf "$dir.tmp"
    mkdir -p "$dir.tmp/lists"
    cd "$dir.tmp"
    read -r uri release < <(debian_mirror)
    [[ -n ${release-} ]] || die "apt has no lists of Debian's packages"
    echo "deb $uri $release-backports main" > sources.list
    options=(-q -o "Dir::Etc::SourceList=$PWD/sources.list"
             -o Dir::Etc::SourceParts=/dev/null
             -o "Dir::State::Lists=$PWD/lists" -o APT::Sandbox::User=root)
    apt-get "${options[@]}" update
    apt-get "${options[@]}" download "${@/%//$release-backports}"
    unpack_debs "$dir"
}

# unpack_packages DIR PACKAGE...: the same with packages of this release.
unpack_packages() {
    local dir=$1
    shift
    [[ ! -d $dir ]] || return 0
    rm -rf "$dir.tmp"
    mkdir -p "$dir.tmp"
    cd "$dir.tmp"
    apt-get -q download "$@" || { update_package_lists
                                  apt-get -q download "$@"; }
    unpack_debs "$dir"
}

# unpack_debs DIR: unpacks the files *.deb in DIR.tmp to DIR.
unpack_debs() {
    local package
    cd "$1.tmp"
    mkdir tree
    for package in *.deb; do
        dpkg-deb -x "$package" tree
    done
    mv tree "$1"
    cd "$1"
    rm -r "$1.tmp"
}

# Hugepages.

hugepages_dir=/sys/kernel/mm/hugepages/hugepages-2048kB

free_hugepages() {
    local dir=$hugepages_dir
    echo $(( $(< $dir/free_hugepages) - $(< $dir/resv_hugepages) ))
}

# add_hugepages MIB: adds 2-MiB hugepages until MIB are free.
add_hugepages() {
    local missing before
    [[ -d $hugepages_dir ]] || die "this kernel has no hugepages of 2 MiB"
    missing=$(( $1 / 2 - $(free_hugepages) ))
    (( missing > 0 )) || return 0
    before=$(< $hugepages_dir/nr_hugepages)
    echo $((before + missing)) > $hugepages_dir/nr_hugepages
    if (( $(free_hugepages) < $1 / 2 )); then
        # Memory may be free but scattered.
        sync
        echo 1 > /proc/sys/vm/compact_memory
        echo $((before + missing)) > $hugepages_dir/nr_hugepages
    fi
    echo $(( $(< $hugepages_dir/nr_hugepages) - before )) > "$run/pages"
    (( $(free_hugepages) >= $1 / 2 )) \
        || die "needs $1 MiB of hugepages, the kernel has memory for" \
               "$(( $(free_hugepages) * 2 )) MiB"
}

# Gives back those that add_hugepages added.
remove_hugepages() {
    [[ -s $run/pages ]] || return 0
    echo $(( $(< $hugepages_dir/nr_hugepages) - $(< "$run/pages") )) \
        > $hugepages_dir/nr_hugepages
    rm "$run/pages"
}

# Processes.

# is_ours PID: does it run, with our run directory on its command line?
is_ours() {
    [[ -n $1 ]] && tr '\0' ' ' 2> /dev/null < "/proc/$1/cmdline" \
        | grep -qF "$run/"
}

is_gone() {
    ! is_ours "$1"
}

# end_process NAME: ends it, gently first.
end_process() {
    local pid
    pid=$(cat "$run/$1.pid" 2> /dev/null) || return 0
    ! is_ours "$pid" || kill "$pid"
    wait_until 10 is_gone "$pid" || kill -KILL "$pid"
    wait_until 10 is_gone "$pid"
}

# The switch of the installation $prefix, with a database, both in $run.

vsctl() {
    "$prefix/bin/ovs-vsctl" --timeout=30 --db="unix:$run/db.sock" "$@"
}

appctl() {
    "$prefix/bin/ovs-appctl" --timeout=30 --target="$run/switch.ctl" "$@"
}

start_database() {
    "$prefix/bin/ovsdb-tool" create "$run/conf.db" \
        "$prefix/share/openvswitch/vswitch.ovsschema"
    "$prefix/sbin/ovsdb-server" --detach --no-chdir \
        --pidfile="$run/database.pid" --log-file="$run/database.log" \
        --unixctl="$run/database.ctl" --remote="punix:$run/db.sock" \
        -vconsole:off "$run/conf.db"
    vsctl --no-wait init
}

# start_switch MIB: with MIB of memory on each node, one PMD thread, and a
# network namespace, in which its bridges' devices can't meet others.
start_switch() {
    vsctl --no-wait set Open_vSwitch . other_config:dpdk-init=true \
        other_config:dpdk-extra=--no-pci \
        other_config:dpdk-socket-limit="$(per_node "$1")" \
        other_config:pmd-cpu-mask="$(cpu_mask "$(last_cpu)")"
    OVS_RUNDIR=$run OVS_LOGDIR=$run OVS_DBDIR=$run \
        unshare --net "$prefix/sbin/ovs-vswitchd" --detach --no-chdir \
        --pidfile="$run/switch.pid" --log-file="$run/switch.log" \
        --unixctl="$run/switch.ctl" -vconsole:off "unix:$run/db.sock"
}

# per_node MIB: for each node, separated by commas.
per_node() {
    local list
    list=$(printf "$1%.0s," /sys/devices/system/node/node[0-9]*)
    echo "${list%,}"
}

# The CPUs that this process may use: the first, and the last.
first_cpu() {
    sed -n 's/^Cpus_allowed_list:[^0-9]*\([0-9]*\).*/\1/p' /proc/self/status
}

last_cpu() {
    sed -n 's/^Cpus_allowed_list:.*[^0-9]//p' /proc/self/status
}

# cpu_mask CPU: the hexadecimal mask, which may have more than 64 bits.
cpu_mask() {
    local zeros
    printf -v zeros '%*s' $(( $1 / 4 )) ''
    printf '0x%x%s' $(( 1 << $1 % 4 )) "${zeros// /0}"
}

# Removing the ports first has the switch close their sockets.
end_switch() {
    [[ ! -S $run/switch.ctl ]] || appctl exit --cleanup || true
    end_process switch
}

# Virtual machines: Debian's kernel, which is not installed, and busybox.

# make_image PACKAGE INIT MODULE...: makes $images/vmlinuz, the kernel that
# Debian's metapackage stands for, and $images/initrd, in which the function
# INIT prints the first process, /modules has the MODULEs, those that others
# depend on first, and $programs are.  What is there and still good stays.
programs=()
make_image() {
    local version module number=100 script
    script=$(realpath "$0")

    mkdir -p "$images"
    cd "$images"
    [[ -d kernel ]] || fetch_kernel "$1"
    # A package's files are older than their installation.
    [[ ! -e initrd \
       || $(find "$here/ovs-vhost-lib.sh" "$script" -newercm initrd) ]] \
        || return 0

    version=$(ls kernel/lib/modules)
    depmod -b kernel "$version"
    rm -rf root
    mkdir -p root/bin root/dev root/modules root/proc root/sys
    cp "$(type -P busybox)" root/bin
    "$2" > root/init
    chmod +x root/init
    add_programs root "${programs[@]}"
    while read -r module; do
        number=$((number + 1))
        copy_module "$module" "root/modules/$number-"
    done < <(modprobe -d kernel -S "$version" -a --show-depends "${@:3}" \
                 | awk '$1 == "insmod" && !seen[$2]++ { print $2 }')
    cp "kernel/boot/vmlinuz-$version" vmlinuz
    pack_initrd root > initrd.tmp
    mv initrd.tmp initrd
}

# copy_module FILE PREFIX: without the compression that Debian 13's have, which
# busybox can't undo.
copy_module() {
    local name=${1##*/}
    if [[ $name == *.xz ]]; then
        python3 -c 'import lzma, sys
sys.stdout.buffer.write(lzma.open(sys.argv[1]).read())' "$1" > "$2${name%.xz}"
    else
        cp "$1" "$2$name"
    fi
}

pack_initrd() {
    (cd "$1" && find . | cpio -o -H newc --quiet | gzip)
}

# add_programs DIR FILE...: copies programs and what they are linked with:
# libraries to where they are here, programs to /bin.
add_programs() {
    local dir=$1 file
    shift
    for file in "$@"; do
        cp "$file" "$dir/bin"
        ldd "$file" | grep -o '/[^ ]*' \
            | xargs -rI '{}' cp -L --parents '{}' "$dir"
    done
}

# fetch_kernel PACKAGE: unpacks it to the directory "kernel".
fetch_kernel() {
    local package packages
    package=$(latest_kernel "$1")
    if [[ -z $package ]]; then
        update_package_lists
        package=$(latest_kernel "$1")
    fi
    # Since Debian 14, its files are in packages that it depends on.
    mapfile -t packages \
        < <(depends_on "$package" 'linux-(base|binary|modules)-')
    packages+=("$package")
    rm -rf kernel.tmp linux-*.deb
    apt-get -q download "${packages[@]}"
    for package in "${packages[@]}"; do
        dpkg-deb -x "$package"_*.deb kernel.tmp
        rm "$package"_*.deb
    done
    # Since Debian 13, modules are in /usr/lib.
    [[ -e kernel.tmp/lib ]] || ln -s usr/lib kernel.tmp/lib
    # Since Debian 14, the kernel itself is, too.
    if [[ ! -e kernel.tmp/boot ]]; then
        mkdir kernel.tmp/boot
        for package in kernel.tmp/lib/modules/*; do
            cp "$package/vmlinuz" "kernel.tmp/boot/vmlinuz-${package##*/}"
        done
    fi
    mv kernel.tmp kernel
}

latest_kernel() {
    depends_on "$1" linux-image- | head -n 1
}

# depends_on PACKAGE PATTERN: the packages that it depends on whose names begin
# like that.
depends_on() {
    apt-cache depends "$1" \
        | awk -v pattern="^$2" '$1 == "Depends:" && $2 ~ pattern { print $2 }'
}

# Under KVM, or by emulation (QEMU's TCG).
#
# /dev/kvm may be there and refuse, hang, or be slower than emulation.  So the
# kernel is booted both ways, as far as it gets without a file system, where it
# panics and the virtual machine ends.  KVM is chosen if it takes no more than
# half of the time: where it works as it should, it takes a fraction.

kvm_device=${OVS_VHOST_KVM_DEVICE:-/dev/kvm}
# What a virtual machine has to show a sign of life: text on its console.
life_seconds=${OVS_VHOST_LIFE_SECONDS:-60}

# choose_accelerator QEMU FILE: writes "kvm" or "tcg" to FILE, and why to its
# second line.  OVS_VHOST_ACCEL has the last word.  With a directory in
# OVS_VHOST_RUN_DIR, $images/vmlinuz is booted only the first time, and the
# choice is kept there for the next caller.
choose_accelerator() {
    local known=${OVS_VHOST_RUN_DIR:+$OVS_VHOST_RUN_DIR/accelerator}
    case ${OVS_VHOST_ACCEL-} in
    kvm|tcg)
        printf '%s\n' "$OVS_VHOST_ACCEL" "OVS_VHOST_ACCEL says so" > "$2" ;;
    ?*) die "OVS_VHOST_ACCEL=$OVS_VHOST_ACCEL: expected kvm or tcg" ;;
    *)
        if [[ -n $known && -s $known ]]; then
            cp "$known" "$2"
        else
            compare_accelerators "$1" > "$2"
            [[ -z $known ]] || cp "$2" "$known"
        fi ;;
    esac
}

# show_accelerator FILE: says what was chosen, and why.
show_accelerator() {
    sed '1s/^/    accelerator: /; N; s/\n/ (/; s/$/)/' "$1"
}

# compare_accelerators QEMU: prints the better one, and why on another line.
compare_accelerators() {
    local tcg kvm kernel="it boots the kernel in"
    if [[ ! -e $kvm_device ]]; then
        printf '%s\n' tcg "there is no $kvm_device"
    elif ! tcg=$(boot_time "$1" tcg $((life_seconds * 1000))); then
        printf '%s\n' kvm \
            "emulation does not boot the kernel in $life_seconds s"
    elif kvm=$(boot_time "$1" kvm $((tcg / 2))); then
        printf '%s\n' kvm \
            "$kernel $(seconds "$kvm") s, emulation in $(seconds "$tcg") s"
    else
        printf '%s\n' tcg \
            "$kernel $(seconds "$tcg") s, KVM not in half of that"
    fi
}

# boot_time QEMU ACCELERATOR LIMIT: prints the ms that it takes to boot
# $images/vmlinuz.  Fails after LIMIT ms, or if QEMU or the kernel does not
# work.
boot_time() {
    local console start status=0
    console=$(mktemp -t ovs-vhost-boot.XXXXXX)
    start=$(now)
    timeout --signal=KILL "$(seconds "$3")" "$1" -accel "$2" -cpu max -m 256 \
        -nodefaults -display none -no-reboot -kernel "$images/vmlinuz" \
        -append "console=ttyS0 panic=-1" -serial "file:$console" \
        > /dev/null 2>&1 < /dev/null || status=$?
    (( status )) || grep -aq "Kernel panic" "$console" || status=1
    rm "$console"
    (( ! status )) && echo $(( $(now) - start ))
}

# await_life PID CONSOLE: waits until there is something in CONSOLE, of the
# virtual machine of process PID.  If there is nothing after $life_seconds, or
# the process has ended before, prints that and fails.
await_life() {
    if ! wait_until "$life_seconds" has_life_or_ended "$1" "$2"; then
        echo "the virtual machine shows no sign of life after $life_seconds s"
    elif [[ ! -s $2 ]]; then
        echo "QEMU ended before the virtual machine showed a sign of life"
    fi
    [[ -s $2 ]]
}

has_life_or_ended() {
    [[ -s $2 ]] || ! grep -qs '^State:.[^Z]' "/proc/$1/status"
}
