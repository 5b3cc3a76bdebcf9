from __future__ import annotations

from pathlib import Path

import pytest

from lab.machines.rewrites import (
    TABLE,
    TOOLS,
    Host,
    RewriteError,
    egress_configuration,
    rewrite,
    rewrite_environment,
)

HOST = Host(ip="127.10.1.4", instance="i-1", folder=Path("/lab/i-1"), connect_socket=Path("/lab/run/c.sock"))


def tool(name: str) -> Path:
    return Path("/tools") / name


def test_etcd_listens_on_hidden_ports_of_its_own_address_and_advertises_the_public_ones() -> None:
    assert rewrite(
        [
            "/root/usr/local/bin/etcd",
            "--listen-client-urls=https://127.10.1.4:2379,https://127.0.0.1:2379",
            "--listen-peer-urls",
            "https://0.0.0.0:2380",
            "--advertise-client-urls=https://127.10.1.4:2379",
        ],
        HOST,
        tool,
    ) == [
        "/tools/etcd",
        "--listen-client-urls=https://127.10.1.4:12379",
        "--listen-peer-urls=https://127.10.1.4:12380",
        "--advertise-client-urls=https://127.10.1.4:2379",
    ]


def test_etcd_takes_the_same_from_its_variables() -> None:
    given = {"ETCD_LISTEN_CLIENT_URLS": "https://0.0.0.0:2379", "ETCD_NAME": "a", "PATH": "/bin"}
    assert rewrite_environment(["/tools/etcd"], given, HOST) == {
        **given,
        "ETCD_LISTEN_CLIENT_URLS": "https://127.10.1.4:12379",
    }
    assert rewrite_environment(["/tools/kube-apiserver"], given, HOST) == given


def test_a_configuration_file_of_etcds_is_refused_and_not_run_on_public_ports() -> None:
    for argv, variables in ((["etcd", "--config-file=/x"], {}), (["etcd"], {"ETCD_CONFIG_FILE": "/x"})):
        with pytest.raises(RewriteError, match="config-file"):
            rewrite_environment(argv, variables, HOST)


def test_the_api_server_is_hidden_aliased_and_dials_pods_through_the_network() -> None:
    argv = rewrite(
        [
            "kube-apiserver",
            "--advertise-address=127.10.1.4",
            "--etcd-servers=https://127.0.0.1:2379",
            "--v=1",
        ],
        HOST,
        tool,
    )
    assert argv == [
        "/tools/kube-apiserver",
        "--advertise-address=10.10.1.4",
        "--etcd-servers=https://127.10.1.4:12379",
        "--v=1",
        "--secure-port=16443",
        "--bind-address=127.10.1.4",
        "--egress-selector-config-file=/lab/i-1/egress.yaml",
    ]


def test_another_machines_etcd_is_still_reached_through_the_forwarder() -> None:
    assert "--etcd-servers=https://127.10.1.5:2379" in rewrite(
        ["kube-apiserver", "--etcd-servers=https://127.10.1.5:2379"], HOST, tool
    )


def test_managers_listen_on_their_machines_address() -> None:
    for program in ("kube-controller-manager", "kube-scheduler"):
        assert rewrite([program, "--leader-elect"], HOST, tool)[1:] == ["--leader-elect", "--bind-address=127.10.1.4"]


def test_any_other_program_runs_as_written() -> None:
    assert rewrite(["/root/usr/local/bin/pet-boot", "--secure-port=1"], HOST, tool) == [
        "/root/usr/local/bin/pet-boot",
        "--secure-port=1",
    ]


def test_every_rewrite_is_for_a_known_tool_and_says_why() -> None:
    assert all(entry.program in TOOLS and len(entry.reason) > 20 for entry in TABLE)


def test_only_the_cluster_goes_through_the_proxy() -> None:
    text = egress_configuration(HOST.connect_socket)
    assert text.count("HTTPConnect") == 1 and "/lab/run/c.sock" in text
