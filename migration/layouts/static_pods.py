"""Commands for members whose programs are static pods: a manifest that leaves the kubelet's folder ends its pod. Pure.

https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/
"""

from __future__ import annotations

from migration.layouts.contract import Commands
from migration.settings.model import Units

STOPPED = ".stopped"
"""What the holding folder's name has more than the kubelet's: beside it, so that a move is one step."""
# A kubelet looks at its folder every 20 s where it isn't told by the kernel, and a pod has 30 s or more to end.
STOP_SECONDS, START_SECONDS = 180, 60

# A runtime that can't be asked says nothing of what runs: then the processes do.
_RUNS = r"""runs() {
 if command -v crictl >/dev/null 2>&1 &&
  found=$(crictl ps -q --name="^$1\$" --label=io.kubernetes.pod.namespace=kube-system 2>/dev/null)
 then test -n "$found"
 else ps -eo args= | grep -Eq "^([^ ]*/)?$1( |\$)"
 fi
}
"""


def static_pod_commands(units: Units, *more_logs: str) -> Commands:
    """The commands for the pods of these names; `more_logs` are units that say why a member doesn't come up."""
    servers = (units.api_server, units.controller_manager, units.scheduler)
    start = _start(units.static_pods, servers)
    shown = " ".join(f"-u {name}" for name in (*more_logs, "kubelet"))
    return Commands(
        start_servers=start,
        # A manifest in the folder is started at every boot, and one in the holding folder at none.
        enable_servers=start,
        # Clients of the API server first: they would only log that it is gone.
        stop_servers=_stop(units.static_pods, tuple(reversed(servers))),
        start_etcd=_start(units.static_pods, (units.etcd,)),
        pause_etcd=_stop(units.static_pods, (units.etcd,)),
        stop_etcd=_stop(units.static_pods, (units.etcd,)),
        logs=f"journalctl {shown}; crictl ps -a",
    )


def _stop(folder: str, names: tuple[str, ...]) -> str:
    return f"""\
: stop the static pods {" ".join(names)}
from={folder} to={folder}{STOPPED}
{_RUNS}\
mkdir -p "$to" || exit 1
for name in {" ".join(names)}; do
 if test -e "$from/$name.yaml"; then mv -f "$from/$name.yaml" "$to/$name.yaml" || exit 1; fi
 passed=0
 while runs $name; do
  if test $passed -ge {STOP_SECONDS}; then
   echo "$name still runs after {STOP_SECONDS} s, and $from/$name.yaml isn't there: does the kubelet run \
(systemctl status kubelet), and is that its folder of static pods?" >&2
   exit 1
  fi
  sleep 1; passed=$((passed+1))
 done
done
"""


def _start(folder: str, names: tuple[str, ...]) -> str:
    return f"""\
: start the static pods {" ".join(names)}
to={folder} from={folder}{STOPPED}
for name in {" ".join(names)}; do
 passed=0
 until test -e "$to/$name.yaml"; do
  if test -e "$from/$name.yaml"; then mv -f "$from/$name.yaml" "$to/$name.yaml" || exit 1; continue; fi
  if test $passed -ge {START_SECONDS}; then
   echo "neither $to nor $from has $name.yaml: nothing can be started; kubeadm init phase control-plane makes it" >&2
   exit 1
  fi
  sleep 1; passed=$((passed+1))
 done
done
systemctl start kubelet
"""
