#!/bin/bash
# An etcd machine; rendered from the cluster's templates. The image does the rest.
mkdir -p /etc/etcd
cat > /etc/etcd/etcd.env <<'END'
CLUSTER=@CLUSTER@
ETCD_NAME=@ETCD_NAME@
ETCD_INITIAL_CLUSTER=@ETCD_INITIAL_CLUSTER@
ETCD_INITIAL_CLUSTER_STATE=@ETCD_INITIAL_CLUSTER_STATE@
ETCD_INITIAL_CLUSTER_TOKEN=@CLUSTER@
END
exec /usr/local/bin/bootstrap-etcd
